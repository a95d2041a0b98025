"""From the table to the hub: what was said before, and what other servers have stored.

The hub knows what was said through this server. A conversation that is joined here is first
brought up to date from the table, and while it is watched it is read again every few
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

#: A viewer waits no longer than this for the table, in seconds.
READ_TIMEOUT_SECONDS = 5.0

log = structlog.get_logger(__name__)


class RecentFinals(Protocol):
    """Where finals are stored. Blocking; called in a thread."""

    def since(self, conversation_id: ConversationId, moment: datetime) -> list[Utterance]:
        """Return the finals that began at `moment` or later, oldest first."""


class NoRecentFinals:
    """Stands for the table where nothing is stored."""

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
        """Read the last two minutes into the hub; listeners hear what is new to this server.

        Returns whether the table answered: if not, the hub knows only what it heard itself.
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
        """Refresh what is watched, every so many seconds, until cancelled."""
        while True:
            await asyncio.sleep(every)
            self._hub.sweep()
            await asyncio.gather(*[self.refresh(each.id) for each in self._hub.subscribed])
