"""The service's own `Connection` as an echo, which is what test suites of the protocol talk to."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator

from picows import WSMsgType

from ecs_service.access import Door
from ecs_service.api.connection import Connection
from ecs_service.api.requests import Request
from ecs_service.api.router import Router
from ecs_service.app import SEND_BUFFER, serve


class Echo(Connection):
    """Sends every message back as it came."""

    async def serve(self) -> None:
        """Read until the client goes."""
        self.resume_reading()
        await self.until_ended()

    def received_binary(self, message: bytes) -> None:
        """Send it back."""
        self._send(WSMsgType.BINARY, message)

    def received_text(self, message: bytes) -> None:
        """Send it back."""
        self.offer(message)


@contextlib.asynccontextmanager
async def echo_server(connections: set[Connection] | None = None) -> AsyncIterator[str]:
    """Serve echoes behind the service's own router and options; yield the URL.

    `connections` are those that are open.
    """
    connections = set() if connections is None else connections

    def echo(_: Request) -> Connection:
        return Echo(connections)

    router = Router(sockets={"/": echo}, pages={}, door=Door())
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    server = await serve(router, listener)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"ws://{host}:{port}/"
    finally:
        for connection in tuple(connections):
            connection.end("draining")
        server.close()
