"""An echo server made of the service's own `Connection`, for test suites of the protocol."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator

from picows import WSMsgType

from access.decisions import Action
from ecs_service.access.door import Admission, Wish
from ecs_service.access.edge import AccessPolicy
from ecs_service.api.acceptor import Acceptor, PendingConnections
from ecs_service.api.connection import Connection
from ecs_service.api.requests import HttpRequest
from ecs_service.api.router import RequestRouter, SocketRoute
from ecs_service.app import SEND_BUFFER
from ecs_service.limits.callers import CallerLimits, ConnectedClient
from ecs_service.limits.rates import RateLimit, TokenRate
from ecs_service.refusal import Refusal


class Echo(Connection):
    """Sends every message back unchanged."""

    async def serve(self) -> None:
        """Read until the client goes."""
        self.resume_reading()
        await self.wait_until_ended()

    def on_binary(self, message: bytes) -> None:
        """Send it back."""
        self._send_frame(WSMsgType.BINARY, message)

    def on_text(self, message: bytes) -> None:
        """Send it back."""
        self.deliver(message)


@contextlib.asynccontextmanager
async def echo_server(connections: set[Connection] | None = None) -> AsyncIterator[str]:
    """Run an echo server behind the service's own router and socket options; yield its URL.

    Open connections are in `connections`.
    """
    connections = set() if connections is None else connections

    def echo(_request: HttpRequest, _client: ConnectedClient, _admission: Admission) -> Connection:
        return Echo(connections)

    def refuse(refusal: Refusal, _client: ConnectedClient) -> Connection:
        raise refusal

    anybody = RateLimit(TokenRate(per_second=1e6, burst=10**6), most=1)
    router = RequestRouter(
        socket_routes={"/": SocketRoute(echo, lambda _request: Wish(Action.READ, None))},
        refused=refuse,
        http_routes={},
        access=AccessPolicy(),
        callers=CallerLimits(connects=anybody, failures=anybody),
        address_header=None,
        pending=PendingConnections(1_000),
    )
    bound = socket.create_server(("127.0.0.1", 0))
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    acceptor = Acceptor(router, router.pending, bound)
    try:
        yield f"ws://127.0.0.1:{acceptor.port}/"
    finally:
        for connection in tuple(connections):
            connection.end("draining")
        acceptor.close()
