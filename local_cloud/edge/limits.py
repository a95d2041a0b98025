"""What stands between the edge's sockets and aiohttp, which bounds neither connections nor readers.

Deadlines for heads are aiohttp's own (`keepalive_timeout`, from the last answer on), as is that for
a body that is left over after an answer (`lingering_time`). What belongs to a request in work is up
to the edge.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from foundation.connections import ConnectionLimit, Outflow
from foundation.minimum_rate import MinimumRate


@dataclass(slots=True, kw_only=True)
class Bounds:
    """The bounds of a listener."""

    #: How many connections there are.
    connections: ConnectionLimit
    #: For how long a client may take nothing of what is sent to it, seconds.
    patience: float
    in_work: int = field(init=False, default=0)

    @contextlib.contextmanager
    def work(self, transport: asyncio.Transport | None) -> Iterator[bool]:
        """Count a request while it is in work; yield whether it may be.

        A quarter of the connections stays without one, for newcomers to displace.
        """
        if self.in_work >= self.connections.limit - self.connections.limit // 4:
            yield False
            return
        gate = transport.get_protocol() if transport is not None else None
        if not isinstance(gate, Gate):
            yield True
            return
        gate.waiting_since = None
        self.in_work += 1
        try:
            yield True
        finally:
            gate.waiting_since = time.monotonic()
            self.in_work -= 1


class Gate(asyncio.Protocol):
    """A connection within bounds; what comes is passed on.

    Args:
        bounds: of all.
        make: makes who works with the connection.
    """

    def __init__(self, bounds: Bounds, make: Callable[[], asyncio.Protocol]) -> None:
        self.address = ""
        self.waiting_since: float | None = None
        self._bounds = bounds
        self._make = make
        self._inside: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        # One byte will do: whoever reads at all is there.
        self._outflow = Outflow(MinimumRate(rate=1 / bounds.patience, patience=bounds.patience))
        self._looked = time.monotonic()
        self._looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or cut it where there is no room."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - as asyncio makes it
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.waiting_since = time.monotonic()  # later than everybody else's
        if not self._bounds.connections.admit(self):
            transport.abort()
            return
        self._inside = self._make()
        self._inside.connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._bounds.connections.forget(self)
        if self._looking is not None:
            self._looking.cancel()
        if self._inside is not None:
            self._inside.connection_lost(exc)

    def displace(self) -> None:
        """End it at once, for another one."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self._inside is not None:
            self._inside.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inside.eof_received() if self._inside is not None else None

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._inside is not None:
            self._inside.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._inside is not None:
            self._inside.resume_writing()

    def _look(self) -> None:
        """Cut a client that takes nothing; look again later."""
        if self._transport is None:
            return
        now, unsent = time.monotonic(), self._transport.get_write_buffer_size()
        if not self._outflow.check(now - self._looked, unsent):
            self._transport.abort()
            return
        self._looked = now
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(min(1.0, self._bounds.patience / 4), self._look)
