"""Whether, and how much at a time, is read from one client's socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

from ecs_service import telemetry
from ecs_service.limits.frame_budget import FrameBudget

#: Bytes that are read at once. picows handles all frames of a read in one go, while everybody
#: else waits, and of the shortest of them this many bytes hold 1,365.
READ_BYTES = 8 * 1024
#: Who has sent too many frames is not read for this long at least, in seconds.
REST_SECONDS = 0.05


class Reading:
    """Reads from a client while it is wanted and the client's budget lasts."""

    def __init__(self, socket: asyncio.Transport, *, on_rested: Callable[[], None]) -> None:
        """Begin to read from the socket of picows' protocol.

        `on_rested` is called when a client that sent too many frames is read again.
        """
        self._budget = FrameBudget(monotonic())
        self._socket = socket
        self._socket.set_protocol(_SmallReads(socket.get_protocol()))
        self._on_rested = on_rested
        self._is_wanted = True
        self._rest: asyncio.TimerHandle | None = None

    @property
    def rests(self) -> bool:
        """Whether the client is not read because it sent too many frames."""
        return self._rest is not None

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self._is_wanted = False
        self._socket.pause_reading()

    def resume(self) -> None:
        """Read on, if the budget lasts."""
        self._is_wanted = True
        if self._rest is None:
            self._socket.resume_reading()

    def charge(self, frames: int = 1) -> None:
        """Take `frames` from the client's budget; let it rest when it has overdrawn that."""
        self._budget.left -= frames
        if self._budget.left < 0 and self._rest is None:
            wait = self._budget.refill(monotonic())
            if wait > 0:
                telemetry.rests.inc()
                self._socket.pause_reading()
                self._rest_for(wait)

    def end(self) -> None:
        """Read no more: the socket is closed."""
        if self._rest is not None:
            self._rest.cancel()
        self._is_wanted = False

    def _rest_for(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._rest = loop.call_later(max(seconds, REST_SECONDS), self._rested)

    def _rested(self) -> None:
        self._rest = None
        wait = self._budget.refill(monotonic())
        if wait > 0:  # for what came in the same read, after the budget was spent
            self._rest_for(wait)
            return
        self._on_rested()
        if self._is_wanted:
            self.resume()


class _SmallReads(asyncio.BufferedProtocol):
    """picows' protocol, which by itself reads as much as the kernel has, a little at a time.

    Its methods are picows' own, for they are called for each read; only the room for it is ours.
    """

    def __init__(self, picows: Any) -> None:
        for name in (
            "buffer_updated",
            "eof_received",
            "pause_writing",
            "resume_writing",
            "connection_lost",
        ):
            setattr(self, name, getattr(picows, name))
        room: Callable[[int], memoryview] = picows.get_buffer
        first = slice(READ_BYTES)
        # A closure is called in half the time of a method.
        setattr(self, "get_buffer", lambda sizehint: room(sizehint)[first])  # noqa: B010 - mypy lets no method be set
