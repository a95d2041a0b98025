"""The HTTP server: uvicorn, with bounds that it does not have.

uvicorn waits for ever for the rest of a request's head, for the rest of a body that nobody reads
any more, and for a peer that does not read its answer. Here a connection without a request in work
has `head_seconds` from the last answer, or the start, until the head of the next one is complete.
(One that sends nothing after an answer is closed by uvicorn, after 5 seconds.) What belongs to a
request in work is bounded by whoever works on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from foundation.connections import BACKLOG, BURST, Crowd, Outflow
from foundation.minimum_rate import Pace
from gpu_server.http.guard import IN_WORK
from gpu_server.problems import MEDIA_TYPE, Busy, Problem, RequestStalled

#: For answers to whoever is still connected at the end, seconds.
GOODBYE: Final = 5
#: How often a connection is looked at, at least, seconds.
LOOK: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a connection may do."""

    crowd: Crowd
    #: For a request's head, seconds.
    head_seconds: float
    #: What a peer has to take of an answer, bytes per second, and for how long it may take nothing.
    rate: float
    patience: float

    @property
    def look(self) -> float:
        """How often to look at a connection, seconds."""
        return min(LOOK, self.head_seconds / 4, self.patience / 4)


class Connection(H11Protocol):
    """A connection within bounds."""

    def __init__(self, bounds: Bounds, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.address = ""
        self._bounds = bounds
        self._outflow = Outflow(Pace(bounds.rate, bounds.patience))
        self._idle_since = self._looked = time.monotonic()
        self._looking: asyncio.TimerHandle | None = None

    @property
    def waiting_since(self) -> float | None:
        """Since when there has been no request in work; those that anybody may send do not count.

        Neither does an answer that is not read: else who reads none could take all connections.
        """
        in_work = self.cycle is not None and not self.cycle.response_complete
        return None if in_work and IN_WORK in self.cycle.scope else self._idle_since

    def displace(self) -> None:
        """End it at once, for another one."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Begin to look at it, or refuse it."""
        super().connection_made(transport)
        # An answer is written in two pieces. asyncio does this only for sockets that name TCP.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = self.client[0] if self.client else ""
        self._idle_since = time.monotonic()  # later than everybody else's
        if self._bounds.crowd.enter(self):
            self._look_later()
        else:
            self._refuse(Busy("There are too many connections.", retry_after=1))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._bounds.crowd.leave(self)
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._idle_since = time.monotonic()
        super().on_response_complete()

    def _look_later(self) -> None:
        self._looked = time.monotonic()
        self._looking = self.loop.call_later(self._bounds.look, self._look)

    def _look(self) -> None:
        """End it if it is overdue, or look again later."""
        now, unsent = time.monotonic(), self.transport.get_write_buffer_size()
        if not self._outflow.look(now - self._looked, unsent):
            self.transport.abort()
            return
        in_work = self.cycle is not None and not self.cycle.response_complete
        if not in_work and not unsent and now - self._idle_since >= self._bounds.head_seconds:
            if self.conn.trailing_data[0]:
                self._refuse(
                    RequestStalled(
                        f"The head of the request was not complete within "
                        f"{self._bounds.head_seconds:g} seconds."
                    )
                )
            else:
                self.transport.abort()
            return
        self._look_later()

    def _refuse(self, problem: Problem) -> None:
        """Answer what is no request, and end the connection soon."""
        self.transport.write(plain(problem))
        self.transport.close()
        self._looking = self.loop.call_later(self._bounds.look, self.transport.abort)


def plain(problem: Problem) -> bytes:
    """Return a problem as an answer to what never became a request."""
    body = problem.document.model_dump_json(by_alias=True)
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body.encode())),
        "Connection": "close",
    } | problem.headers
    lines = [
        f"HTTP/1.1 {problem.status} {problem.code}",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", body]).encode()


class Web(uvicorn.Server):
    """uvicorn with bounds, which leaves signals to us."""

    def __init__(self, app: Any, bounds: Bounds) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=cast("type[asyncio.Protocol]", partial(Connection, bounds)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # Else the callers on this machine could name any address as theirs.
                proxy_headers=False,
                backlog=BURST,
                timeout_graceful_shutdown=GOODBYE,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, few at once."""
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(BACKLOG)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
