"""The native live protocol: what its connections share, and how a client is refused.

`speaker_connection.py` serves speakers, `viewer_connection.py` viewers. The messages are defined in
`transcripts.protocol`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field

from ecs_service.access.door import OPEN, Admission
from ecs_service.api.connection import CLOSE_SECONDS, Connection
from ecs_service.conversations.hub import Hub
from ecs_service.conversations.table_updates import TableUpdates
from ecs_service.conversations.translations import Translations
from ecs_service.limits.callers import ConnectedClient
from ecs_service.limits.unread import UnreadBudget
from ecs_service.limits.viewer_slots import ViewerSlots
from ecs_service.refusal import Refusal
from ecs_service.sessions.stream import Streams

#: How long a shutdown waits for closed connections to go, in seconds.
DISCONNECT_SECONDS = CLOSE_SECONDS + 1.0


@dataclass(frozen=True, slots=True)
class LiveContext:
    """What the connections of this protocol share."""

    streams: Streams
    hub: Hub
    updates: TableUpdates
    translations: Translations
    viewers: ViewerSlots
    unread: UnreadBudget
    connections: set[Connection] = field(default_factory=set)

    async def disconnect_all(self) -> None:
        """Close all connections because the service drains; wait until the clients are gone."""
        connections = tuple(self.connections)
        for connection in connections:
            connection.end("draining")
        if connections:
            leaving = [asyncio.create_task(each.wait_until_gone()) for each in connections]
            await asyncio.wait(leaving, timeout=DISCONNECT_SECONDS)


class LiveConnection(Connection):
    """A connection of this protocol. Its refusals count for the caller's address."""

    def __init__(
        self, live: LiveContext, client: ConnectedClient, admission: Admission = OPEN
    ) -> None:
        super().__init__(live.connections)
        self._live = live
        self._client = client
        self._admission = admission

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Check the caller's right, and watch it while the context is open.

        A hall that comes back waits for one reading of the table together. So a caller with a
        verified ticket is not dropped meanwhile, as far as there are free slots.

        Raises:
            Refusal: there is no right, or it cannot be checked.
        """
        async with AsyncExitStack() as watched:
            with ExitStack() as waiting:
                if self._admission.is_verified and waiting.enter_context(self._live.viewers.wait()):
                    waiting.enter_context(self._client.connection.protect())
                await watched.enter_async_context(self._admission.admit(self))
            yield

    def refuse(self, refusal: Refusal) -> None:
        """Send the error, count it, and close."""
        self._client.count_refusal(refusal.code)
        super().refuse(refusal)


class RefusedConnection(LiveConnection):
    """Refuses a client with a named error, whatever it sends."""

    def __init__(self, live: LiveContext, refusal: Refusal, client: ConnectedClient) -> None:
        super().__init__(live, client)
        self._refusal = refusal

    async def serve(self) -> None:
        """Refuse the client."""
        raise self._refusal

    def on_binary(self, message: bytes) -> None:
        """Drop the message."""

    def on_text(self, message: bytes) -> None:
        """Drop the message."""
