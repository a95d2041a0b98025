"""Limits concurrent viewers, of this server and of each conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ecs_service import telemetry
from ecs_service.refusal import Refusal
from transcripts.models import ConversationId
from transcripts.protocol import ErrorCode

#: When a refused viewer may try again, seconds. How long others watch cannot be estimated.
RETRY_SECONDS = 10.0


class ViewerSlots:
    """The slots for viewers. They are not limited by address: a lecture hall is one address."""

    def __init__(self, most: int, most_per_conversation: int) -> None:
        self.capacity = most
        self._capacity_per_conversation = most_per_conversation
        self._by_conversation: Counter[ConversationId] = Counter()
        self.taken = 0
        self._waiting = 0

    @contextmanager
    def wait(self) -> Iterator[bool]:
        """Count a caller who waits for a slot; yield whether there is likely to be one.

        Whoever waits holds none, but together they are no more than the slots that are free.
        """
        has_place = self.taken + self._waiting < self.capacity
        self._waiting += has_place
        try:
            yield has_place
        finally:
            self._waiting -= has_place

    @contextmanager
    def hold(self, conversation_id: ConversationId) -> Iterator[None]:
        """Hold a viewer's slot while the context is open.

        Raises:
            Refusal: `too_many_viewers`, with the time after which to try again.
        """
        if self.taken >= self.capacity:
            raise _too_many("This server has as many viewers as it takes.")
        if self._by_conversation[conversation_id] >= self._capacity_per_conversation:
            raise _too_many("This conversation has as many viewers as a server takes.")
        self._count(conversation_id, 1)
        try:
            yield
        finally:
            self._count(conversation_id, -1)

    def _count(self, conversation_id: ConversationId, change: int) -> None:
        self.taken += change
        self._by_conversation[conversation_id] += change
        if not self._by_conversation[conversation_id]:
            del self._by_conversation[conversation_id]
        telemetry.viewers.set(self.taken)


def _too_many(message: str) -> Refusal:
    return Refusal(ErrorCode.TOO_MANY_VIEWERS, message, retry_after=RETRY_SECONDS)
