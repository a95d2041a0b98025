"""Limits that aiohttp lacks: the number of connections, and the time for a client to read.

aiohttp limits the time for a request's head (`keepalive_timeout`, from the last answer on) and for
the rest of a body after an answer (`lingering_time`). The edge limits requests in work itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from foundation.connections import ConnectionLimit
from foundation.minimum_rate import MinimumRate, Outflow


@dataclass(slots=True, kw_only=True)
class EdgeLimits:
    """The limits of a listener, and its requests in work."""

    #: The connections, bounded in number.
    connections: ConnectionLimit
    #: How long a client may read nothing of what is sent to it, seconds.
    patience: float
    in_work: int = field(init=False, default=0)

    @contextlib.contextmanager
    def work(self, transport: asyncio.Transport | None) -> Iterator[bool]:
        """Count a request while the edge works on it; yield False if there are too many.

        A quarter of the connections stays without a request, so that new ones can displace them.
        """
        if self.in_work >= self.connections.limit - self.connections.limit // 4:
            yield False
            return
        connection = transport.get_protocol() if transport is not None else None
        if not isinstance(connection, LimitedConnection):
            yield True
            return
        connection.waiting_since = None
        self.in_work += 1
        try:
            yield True
        finally:
            connection.waiting_since = time.monotonic()
            self.in_work -= 1


class LimitedConnection(asyncio.Protocol):
    """A connection within the limits; passes everything on to another protocol.

    Args:
        limits: the listener's.
        make: makes the protocol that handles the connection.
    """

    def __init__(self, limits: EdgeLimits, make: Callable[[], asyncio.Protocol]) -> None:
        self.address = ""
        self.waiting_since: float | None = None
        self._limits = limits
        self._make = make
        self._inside: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        # One byte is enough: it shows that the client reads.
        self._outflow = Outflow(MinimumRate(rate=1 / limits.patience, patience=limits.patience))
        self._checked_at = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or cut it where there are too many."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - as asyncio makes it
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.waiting_since = time.monotonic()  # later than everybody else's
        if not self._limits.connections.admit(self):
            transport.abort()
            return
        self._inside = self._make()
        self._inside.connection_made(transport)
        self._check()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        self._limits.connections.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._inside is not None:
            self._inside.connection_lost(exc)

    def displace(self) -> None:
        """Cut the connection in favour of a new one."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass the call to the server's protocol."""
        if self._inside is not None:
            self._inside.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the call to the server's protocol."""
        return self._inside.eof_received() if self._inside is not None else None

    def pause_writing(self) -> None:
        """Pass the call to the server's protocol."""
        if self._inside is not None:
            self._inside.pause_writing()

    def resume_writing(self) -> None:
        """Pass the call to the server's protocol."""
        if self._inside is not None:
            self._inside.resume_writing()

    def _check(self) -> None:
        """Cut a client that does not read; check again later."""
        if self._transport is None:
            return
        now, unsent = time.monotonic(), self._transport.get_write_buffer_size()
        if not self._outflow.check(now - self._checked_at, unsent):
            self._transport.abort()
            return
        self._checked_at = now
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(1.0, self._limits.patience / 4), self._check)
