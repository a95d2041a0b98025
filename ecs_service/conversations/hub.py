"""Who listens to which conversation, and what they all hear in the same order.

A conversation lives here while somebody speaks or listens, and for as long after its last
final as a late joiner may ask for it: a final may still be on its way to the table.
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

#: Longer than any snapshot reaches back, so that what a snapshot finds is always known.
REMEMBER_SECONDS = SNAPSHOT_SECONDS * 1.5


class Subscriber(Protocol):
    """Somebody who hears a conversation."""

    def deliver(self, frame: bytes) -> None:
        """Take one encoded message. Must neither block nor raise."""


class Observer(Protocol):
    """Somebody who works on a conversation, and is not in the way of those who listen to it."""

    def on_published(self, message: Partial | Final) -> None:
        """Take a message that every subscriber has. Must neither block nor raise."""


class Conversation:
    """One conversation on this server: its subscribers, its numbering, its last minutes."""

    def __init__(self, conversation_id: ConversationId) -> None:
        self.id = conversation_id
        self.seq = 0
        self.speakers = 0
        self.subscribers: set[Subscriber] = set()
        self.observers: set[Observer] = set()
        self._finals: dict[str, Utterance] = {}

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody listens."""
        return bool(self.subscribers)

    def publish_partial(self, message: Callable[[int], Partial]) -> bytes:
        """Tell everybody a guess, made with its `seq`; return the frame for the speaker."""
        self.seq += 1
        return self._broadcast(message(self.seq))

    def publish_final(self, utterance: Utterance) -> bytes | None:
        """Tell everybody a final, once; return the frame, or nothing if it was told before."""
        if utterance.utterance_id in self._finals:
            return None
        self._finals[utterance.utterance_id] = utterance
        self.seq += 1
        return self._broadcast(Final(**dict(utterance), seq=self.seq))

    def snapshot(self, *, complete: bool) -> Snapshot:
        """Return the finals of the last two minutes; `complete` says whether the table was read."""
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
        """Let go of older finals."""
        self._finals = {k: u for k, u in self._finals.items() if u.timestamp >= moment}

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be missed without this object."""
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
        """Return the conversation, a new one if nobody takes part in it yet."""
        known = self._conversations.get(conversation_id)
        if known is None:
            known = self._conversations[conversation_id] = Conversation(conversation_id)
        return known

    @contextmanager
    def add_speaker(self, conversation_id: ConversationId) -> Iterator[Conversation]:
        """Keep the conversation while somebody speaks in it."""
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
        """Let `subscriber` hear the conversation from the next message on."""
        conversation = self.conversation(conversation_id)
        conversation.subscribers.add(subscriber)
        try:
            yield conversation
        finally:
            conversation.subscribers.discard(subscriber)

    @property
    def subscribed(self) -> list[Conversation]:
        """The conversations that somebody listens to."""
        return [c for c in self._conversations.values() if c.has_subscribers]

    def sweep(self) -> None:
        """Forget what no late joiner can ask for any more."""
        horizon = _ago(REMEMBER_SECONDS)
        for conversation in tuple(self._conversations.values()):
            conversation.forget_before(horizon)
            if conversation.is_idle:
                del self._conversations[conversation.id]


def _ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)
