"""Finds what a viewer lacks who joins a conversation or comes back to it.

Whoever comes back with a position gets what it does not cover: from memory if all of that is
remembered, else from the table. Nobody waits long for the table: without its answer the viewer gets
what is known here, and the rest when it answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ecs_service.conversations.hub import Conversation
from ecs_service.conversations.positions import Position
from ecs_service.conversations.remembered import KnownFinal, in_order
from ecs_service.conversations.table_updates import MOST_READ, TableUpdates


class CatchingUp:
    """What one viewer lacks of a conversation."""

    def __init__(
        self, updates: TableUpdates, conversation: Conversation, since: Position | None
    ) -> None:
        """Begin with what `since` covers; None: with the finals of the last two minutes."""
        self._updates = updates
        self._conversation = conversation
        self._since = since
        self._stored: Sequence[KnownFinal] = ()
        self._sent: set[str] = set()
        #: Whether the viewer was away too long, or lacks too much, and gets the last two minutes.
        self.has_gap = False

    @property
    def goes_on(self) -> bool:
        """Whether the viewer gets all that his position does not cover."""
        return self._since is not None

    async def read(self, patience: float) -> bool:
        """Find out what is missing; return whether that is known within `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                if self._since is not None:
                    is_known = await self._read_since(self._since)
                    if not self.has_gap:
                        return is_known
                    self._since = None
                return await self._updates.refresh(self._conversation.id)
        except TimeoutError:
            self._conversation.miss_table()
            return False

    def missing(self) -> list[KnownFinal]:
        """Return what is known to be missing and was not sent yet, in order."""
        if self._since is None:
            return self._conversation.latest()
        finals = {final.utterance_id: final for final in self._stored}
        finals |= {one.utterance_id: one for one in self._conversation.missing(self._since)}
        return in_order(final for key, final in finals.items() if key not in self._sent)

    def note_sent(self, finals: Sequence[KnownFinal]) -> None:
        """Take finals out of what is missing."""
        self._sent.update(final.utterance_id for final in finals)

    async def _read_since(self, since: Position) -> bool:
        conversation = self._conversation
        if not conversation.has_all_after(since):
            if conversation.is_too_old(since):
                self.has_gap = True
                return True
            stored = await self._updates.read_back(conversation.id, since.time)
            if stored.outcome == "unreachable":
                return False
            if stored.outcome == "too_many":
                self.has_gap = True
            elif not conversation.has_all_after(since, stored.finals):
                # Something shown here is not in the table yet, and never will be without one.
                self.has_gap = not self._updates.has_table
                return False
            self._stored = [final for final in stored.finals if not since.covers(final.mark)]
        if len(self.missing()) > MOST_READ:
            self.has_gap = True
        return True
