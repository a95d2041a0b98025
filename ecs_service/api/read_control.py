"""Controls when, and how much at a time, is read from one client's socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

from ecs_service import telemetry
from ecs_service.limits.frame_budget import FrameBudget

#: Bytes that are read at once. picows handles all frames of a read in one go while every other
#: client waits; so many bytes hold at most 1,365 frames.
READ_BYTES = 8 * 1024
#: The shortest pause in reading from a client that sent too many frames, in seconds.
THROTTLE_SECONDS = 0.05


class ReadControl:
    """Reads from a client while the connection wants it and the client's frame budget lasts."""

    def __init__(self, socket: asyncio.Transport, *, on_throttle_end: Callable[[], None]) -> None:
        """Take control of the socket of picows' protocol.

        `on_throttle_end` is called when a client that sent too many frames is read again.
        """
        self._budget = FrameBudget(monotonic())
        self._socket = socket
        self._socket.set_protocol(_SmallReads(socket.get_protocol()))
        self._on_throttle_end = on_throttle_end
        self._is_wanted = True
        self._throttle: asyncio.TimerHandle | None = None

    @property
    def is_throttled(self) -> bool:
        """Whether reading is paused because the client sent too many frames."""
        return self._throttle is not None

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self._is_wanted = False
        self._socket.pause_reading()

    def resume(self) -> None:
        """Read again, at once or when the client is no longer throttled."""
        self._is_wanted = True
        if self._throttle is None:
            self._socket.resume_reading()

    def charge(self, frames: int = 1) -> None:
        """Take `frames` from the client's budget; throttle the client if it is overdrawn."""
        self._budget.left -= frames
        if self._budget.left < 0 and self._throttle is None:
            wait = self._budget.refill(monotonic())
            if wait > 0:
                telemetry.rests.inc()
                self._socket.pause_reading()
                self._throttle_for(wait)

    def close(self) -> None:
        """Stop for good: the socket is closed."""
        if self._throttle is not None:
            self._throttle.cancel()
        self._is_wanted = False

    def _throttle_for(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._throttle = loop.call_later(max(seconds, THROTTLE_SECONDS), self._end_throttle)

    def _end_throttle(self) -> None:
        self._throttle = None
        wait = self._budget.refill(monotonic())
        if wait > 0:  # frames of the same read that came after the budget was spent
            self._throttle_for(wait)
            return
        self._on_throttle_end()
        if self._is_wanted:
            self.resume()


class _SmallReads(asyncio.BufferedProtocol):
    """picows' protocol with reads of at most `READ_BYTES`; by itself it reads all the kernel has.

    Its methods are picows' own, because they are called for each read; only `get_buffer` is ours.
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
