"""Broadcasts each conversation's partials and finals to its subscribers, in one order for all.

A conversation is kept while it has speakers or subscribers, and after its last final for as long
as a snapshot reaches back: that final may still be on its way to the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from transcripts.models import ConversationId, Utterance
from transcripts.protocol import (
    SNAPSHOT_SECONDS,
    SNAPSHOT_UTTERANCES,
    Final,
    Partial,
    Snapshot,
    encode,
)

#: Longer than a snapshot reaches back: what is forgotten is too old for `TableUpdates` to read and
#: publish a second time.
REMEMBER_SECONDS = SNAPSHOT_SECONDS * 1.5


class Subscriber(Protocol):
    """Receives a conversation: a viewer's connection."""

    def deliver(self, frame: bytes) -> None:
        """Send one encoded message to the viewer. Must neither block nor raise."""


class Observer(Protocol):
    """Works on a conversation beside its subscribers, without delaying them."""

    def on_published(self, message: Partial | Final) -> None:
        """Take a message that every subscriber has received. Must neither block nor raise."""


class Conversation:
    """One conversation on this server: its subscribers, its numbering, its recent finals."""

    def __init__(self, conversation_id: ConversationId) -> None:
        self.id = conversation_id
        self.seq = 0
        self.speakers = 0
        self.subscribers: set[Subscriber] = set()
        self.observers: set[Observer] = set()
        self._finals: dict[str, Utterance] = {}

    def publish_partial(self, message: Callable[[int], Partial]) -> bytes:
        """Broadcast a partial, which `message` makes with its `seq`; return the encoded frame."""
        self.seq += 1
        return self._broadcast(message(self.seq))

    def publish_final(self, utterance: Utterance) -> bytes | None:
        """Broadcast a final once; return the encoded frame, or None if it was published before."""
        if utterance.utterance_id in self._finals:
            return None
        self._finals[utterance.utterance_id] = utterance
        self.seq += 1
        return self._broadcast(Final(**dict(utterance), seq=self.seq))

    def snapshot(self, *, complete: bool) -> Snapshot:
        """Return the finals of the last two minutes; `complete` is whether the table was read."""
        horizon = _ago(SNAPSHOT_SECONDS)
        finals = [u for u in self._finals.values() if u.timestamp >= horizon]
        in_order = sorted(finals, key=lambda u: u.sort_key)
        return Snapshot(
            conversation_id=self.id,
            utterances=tuple(in_order[-SNAPSHOT_UTTERANCES:]),
            complete=complete,
            seq=self.seq,
        )

    def forget_before(self, moment: datetime) -> None:
        """Forget finals that are older than `moment`."""
        self._finals = {k: u for k, u in self._finals.items() if u.timestamp >= moment}

    @property
    def is_idle(self) -> bool:
        """Whether this object can be dropped: no subscribers, no speakers, no recent finals."""
        return not (self.subscribers or self.speakers or self._finals)

    def _broadcast(self, message: Partial | Final) -> bytes:
        frame = encode(message)
        for subscriber in tuple(self.subscribers):
            subscriber.deliver(frame)
        for observer in tuple(self.observers):
            observer.on_published(message)
        return frame


class Hub:
    """All conversations of this server."""

    def __init__(self) -> None:
        self._conversations: dict[ConversationId, Conversation] = {}

    def conversation(self, conversation_id: ConversationId) -> Conversation:
        """Return the conversation; a new one if it is not known yet."""
        known = self._conversations.get(conversation_id)
        if known is None:
            known = self._conversations[conversation_id] = Conversation(conversation_id)
        return known

    @contextmanager
    def add_speaker(self, conversation_id: ConversationId) -> Iterator[Conversation]:
        """Count a speaker of the conversation while the context is open."""
        conversation = self.conversation(conversation_id)
        conversation.speakers += 1
        try:
            yield conversation
        finally:
            conversation.speakers -= 1

    @contextmanager
    def add_subscriber(
        self, conversation_id: ConversationId, subscriber: Subscriber
    ) -> Iterator[Conversation]:
        """Deliver the conversation to `subscriber` while the context is open."""
        conversation = self.conversation(conversation_id)
        conversation.subscribers.add(subscriber)
        try:
            yield conversation
        finally:
            conversation.subscribers.discard(subscriber)

    @property
    def subscribed(self) -> list[Conversation]:
        """The conversations that have subscribers."""
        return [c for c in self._conversations.values() if c.subscribers]

    def sweep(self) -> None:
        """Forget finals and conversations that no snapshot can contain any more."""
        horizon = _ago(REMEMBER_SECONDS)
        for conversation in tuple(self._conversations.values()):
            conversation.forget_before(horizon)
            if conversation.is_idle:
                del self._conversations[conversation.id]


def _ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)
