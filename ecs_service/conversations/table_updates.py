"""Reads finals from the table into the hub, for history and for speakers on other servers.

The hub knows only what was published through this server. When a viewer joins a conversation, its
recent finals are read from the table first. While it has viewers they are read again every few
seconds, because its speakers may be connected to another server.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from ecs_service.conversations.hub import Hub
from transcripts.models import ConversationId, Utterance
from transcripts.protocol import SNAPSHOT_SECONDS

#: The longest that a viewer waits for the table, in seconds.
READ_TIMEOUT_SECONDS = 5.0

log = structlog.get_logger(__name__)


class RecentFinals(Protocol):
    """The table, as far as updates read it. Blocking; called in a thread."""

    def since(self, conversation_id: ConversationId, moment: datetime) -> list[Utterance]:
        """Return the finals that began at `moment` or later, oldest first."""


class NoRecentFinals:
    """No finals: the `RecentFinals` of a service without a table."""

    def since(self, conversation_id: ConversationId, moment: datetime) -> list[Utterance]:
        """Return nothing."""
        del conversation_id, moment
        return []


class TableUpdates:
    """Keeps the hub's conversations up to date with the table."""

    def __init__(self, hub: Hub, store: RecentFinals) -> None:
        self._hub = hub
        self._store = store

    async def refresh(self, conversation_id: ConversationId) -> bool:
        """Read a conversation's last two minutes, and publish what is new to this server.

        Returns whether the table answered. If not, the hub has only what this server published.
        """
        moment = datetime.now(UTC) - timedelta(seconds=SNAPSHOT_SECONDS)
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                stored = await asyncio.to_thread(self._store.since, conversation_id, moment)
        except (BotoCoreError, ClientError, TimeoutError) as error:
            log.warning("table_unreachable", error=type(error).__name__)
            return False
        conversation = self._hub.conversation(conversation_id)
        for utterance in stored:
            conversation.publish_final(utterance)
        return True

    async def run(self, every: float) -> None:
        """Refresh every conversation that has subscribers each `every` seconds, until cancelled."""
        while True:
            await asyncio.sleep(every)
            self._hub.sweep()
            await asyncio.gather(*[self.refresh(each.id) for each in self._hub.subscribed])
