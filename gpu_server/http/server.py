"""The HTTP server: uvicorn with time limits that it lacks.

uvicorn waits for ever for the rest of a request's head, for the rest of a body that nobody reads
any more, and for a peer that does not read its answer. Here the head of a request has to be
complete within `head_seconds` of the connection's start or of the previous answer. (uvicorn itself
closes a connection that sends nothing for 5 seconds after an answer.) The code that works on an
admitted request limits what belongs to that request.
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

from foundation.connections import BACKLOG, BURST, ConnectionLimit
from foundation.minimum_rate import MinimumRate, Outflow
from gpu_server.http.admission import IN_WORK
from gpu_server.problems import MEDIA_TYPE, Busy, Problem, RequestStalled

#: The grace period at the end for answers to clients that are still connected, seconds.
GRACE_SECONDS: Final = 5
#: The longest interval between two checks of a connection, seconds.
LONGEST_INTERVAL: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionBounds:
    """The limits of a connection."""

    connections: ConnectionLimit
    #: Time for a request's head, seconds.
    head_seconds: float
    #: How fast a peer has to read an answer, bytes per second, and how long it may read nothing.
    rate: float
    patience: float

    @property
    def interval(self) -> float:
        """Interval between two checks of a connection, seconds."""
        return min(LONGEST_INTERVAL, self.head_seconds / 4, self.patience / 4)


class BoundedConnection(H11Protocol):
    """A connection with limits."""

    def __init__(self, bounds: ConnectionBounds, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.address = ""
        self._bounds = bounds
        self._outflow = Outflow(MinimumRate(bounds.rate, bounds.patience))
        self._idle_since = self._checked = time.monotonic()
        self._checking: asyncio.TimerHandle | None = None

    @property
    def waiting_since(self) -> float | None:
        """Since when no admitted request has been in work; None while one is.

        An answer that is not read does not count as work: otherwise a client that reads none could
        take all connections.
        """
        in_work = self.cycle is not None and not self.cycle.response_complete
        return None if in_work and IN_WORK in self.cycle.scope else self._idle_since

    def displace(self) -> None:
        """Close the connection at once, in favour of another."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Start to check the connection, or refuse it if there are too many."""
        super().connection_made(transport)
        # An answer is written in two pieces. asyncio does this only for sockets that name TCP.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = self.client[0] if self.client else ""
        self._idle_since = time.monotonic()  # later than everybody else's
        if self._bounds.connections.admit(self):
            self._check_later()
        else:
            self._refuse(Busy("There are too many connections.", retry_after=1))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._bounds.connections.forget(self)
        if self._checking is not None:
            self._checking.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Start to wait for the next request."""
        self._idle_since = time.monotonic()
        super().on_response_complete()

    def _check_later(self) -> None:
        self._checked = time.monotonic()
        self._checking = self.loop.call_later(self._bounds.interval, self._check)

    def _check(self) -> None:
        """Close the connection if the peer is too slow; else check again later."""
        now, unsent = time.monotonic(), self.transport.get_write_buffer_size()
        if not self._outflow.check(now - self._checked, unsent):
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
        self._check_later()

    def _refuse(self, problem: Problem) -> None:
        """Send a problem without a request, and close the connection soon."""
        self.transport.write(render_problem(problem))
        self.transport.close()
        self._checking = self.loop.call_later(self._bounds.interval, self.transport.abort)


def render_problem(problem: Problem) -> bytes:
    """Return a problem as the bytes of an answer, for a connection without a request."""
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


class HttpServer(uvicorn.Server):
    """uvicorn with limits on connections; signals are left to `gpu_server.app`."""

    def __init__(self, app: Any, bounds: ConnectionBounds) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=cast("type[asyncio.Protocol]", partial(BoundedConnection, bounds)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # Otherwise callers on this machine could claim any address.
                proxy_headers=False,
                backlog=BURST,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, few at a time."""
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(BACKLOG)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing, in place of uvicorn's handling of signals."""
        yield
