"""Broadcasts each conversation's partials and finals to its subscribers, in one order for all.

A conversation is kept while it has speakers or subscribers, and after its last final for as long
as that is remembered: it may still be on its way to the table.

A conversation knows the finals that this server publishes, and those that `TableUpdates` reads for
it. From its `horizon` on it knows all that the table had at the last reading. The position that
goes with a final covers exactly what the conversation knows; so whoever has received all messages
since he joined has received what it covers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from ecs_service.conversations.positions import LATENESS_MS, Position, milliseconds
from ecs_service.conversations.remembered import (
    REMEMBER_SECONDS,
    KnownFinal,
    RememberedFinals,
    snapshot_frame,
)
from transcripts.models import ConversationId, Utterance
from transcripts.protocol import (
    SNAPSHOT_SECONDS,
    SNAPSHOT_UTTERANCES,
    Final,
    Heartbeat,
    Partial,
    Snapshot,
    encode,
)

#: The most ids of finals that a conversation knows, so as not to publish one twice.
MOST_IDS = 20_000

#: A position's time lies back by the lateness when it is sent, by as long as its viewer was away,
#: and up to two minutes more because late finals are looked for only now and then.
TOO_OLD_MS = 2 * LATENESS_MS + 120_000

_SNAPSHOT_MS = round(SNAPSHOT_SECONDS * 1000)
_REMEMBER_MS = round(REMEMBER_SECONDS * 1000)


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

    def __init__(
        self,
        conversation_id: ConversationId,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.id = conversation_id
        self.seq = 0
        self.speakers = 0
        #: Viewers, including those who do not receive it yet.
        self.viewers = 0
        #: Those who have received all that the position covers.
        self.subscribers: set[Subscriber] = set()
        #: Those who have not, because the table did not answer: they get messages without position.
        self.lagging: set[Subscriber] = set()
        #: Those of both who want a message every second.
        self.prompt: set[Subscriber] = set()
        self.observers: set[Observer] = set()
        #: When the last message was broadcast, by the monotonic clock.
        self.sent_at = 0.0
        self._clock = now
        #: From when on it knows all that the table had, in milliseconds since 1970; None until it
        #: was read or found unreachable.
        self.horizon: int | None = None
        #: When the last reading began that succeeded, and the last one from the position's time on.
        self.read_at = 0
        self.looked_back_at = 0
        #: When a final was read last that came too late for the usual reading, and when it was
        #: spoken.
        self.late_at = 0
        self.late_spoken = 0
        self._remembered = RememberedFinals()
        self._ids: dict[str, int] = {}
        self._position = Position(self._now() - LATENESS_MS)
        self._encoded: str | None = None

    # --- publishing -----------------------------------------------------------------------------

    def publish_partial(self, message: Callable[[int], Partial]) -> bytes:
        """Broadcast a partial, which `message` makes with its `seq`; return the encoded frame."""
        self.seq += 1
        partial = message(self.seq)
        frame = encode(partial)
        self._broadcast(frame, frame)
        self._notify(partial)
        return frame

    def publish_final(self, utterance: Utterance) -> bytes | None:
        """Broadcast a final once; return the encoded frame, or None if it was published before."""
        if utterance.utterance_id in self._ids:
            return None
        return self._publish(KnownFinal.of(utterance))

    def take_stored(self, stored: Sequence[KnownFinal], *, began: int, since: int) -> None:
        """Broadcast what is new here of finals from the table, oldest first.

        What had been stored before the conversation was read for the first time is not new to
        anybody; it is only remembered.

        Args:
            stored: finals that the table had.
            began: when the reading began, in milliseconds since 1970.
            since: the time from which on it has all of them.
        """
        horizon = began if self.horizon is None else self.horizon
        covered = self._position.time
        for final in stored:
            spoken = final.mark.spoken
            if final.utterance_id in self._ids or spoken < covered:
                continue
            if spoken < horizon:
                self._know(final, came=spoken)
            else:
                if spoken < began - _SNAPSHOT_MS:
                    self.late_at, self.late_spoken = began, spoken
                self._publish(final)
        self.read_at = began
        if since <= covered:
            self.horizon = min(horizon, covered)
            self.looked_back_at = began
            self._position.fold(began - LATENESS_MS)
            self._encoded = None
        elif self.horizon is None:
            self.horizon = since

    def miss_table(self) -> None:
        """Note that it was not read yet; when it is, the last two minutes from now are new."""
        if self.horizon is None:
            self.read_at = self._now()
            self.horizon = self.read_at - _SNAPSHOT_MS

    def catch_up(self, subscriber: Subscriber) -> None:
        """Note that a lagging subscriber has now received all that the position covers."""
        if subscriber in self.lagging:
            self.lagging.discard(subscriber)
            self.subscribers.add(subscriber)

    def begin_again(self) -> None:
        """Note that nobody has watched for some time, so that nothing stored is new to anybody."""
        self.horizon = None
        self._position.fold(self._now() - LATENESS_MS)
        self._encoded = None

    def knows(self, utterance_id: str) -> bool:
        """Whether a final was published here or read from the table lately."""
        return utterance_id in self._ids

    # --- viewers --------------------------------------------------------------------------------

    @property
    def is_stale(self) -> bool:
        """Whether nobody has watched so long that it may lack what is in the table."""
        return not self.viewers and self._now() - self.read_at > _SNAPSHOT_MS

    @property
    def patient(self) -> set[Subscriber]:
        """The subscribers who do not want a message every second."""
        return (self.subscribers | self.lagging) - self.prompt

    @property
    def covered_until(self) -> int:
        """The time of its position, in milliseconds since 1970."""
        return self._position.time

    def position(self) -> str:
        """Return the position of who has received everything, as a text."""
        if self._encoded is None:
            self._encoded = self._position.encode()
        return self._encoded

    def has_all_after(self, position: Position, stored: Sequence[KnownFinal] | None = None) -> bool:
        """Whether a viewer with `position` can have all that he lacks.

        That is, if all that is known here and not covered is remembered, or among the finals that
        the table had since the position's time, if it was read.
        """
        if stored is not None:
            return self._remembered.has_all_after(position, stored)
        return (
            self.horizon is not None
            and position.time >= self.horizon
            and self._remembered.has_all_after(position)
        )

    def is_too_old(self, position: Position) -> bool:
        """Whether a viewer with `position` was away for longer than the lateness."""
        return position.time < self._now() - TOO_OLD_MS

    def missing(self, position: Position) -> list[KnownFinal]:
        """Return what is remembered and not covered by `position`, in order."""
        return self._remembered.missing(position)

    def latest(self) -> list[KnownFinal]:
        """Return the finals of the last two minutes, in order, at most the newest 200."""
        return self._remembered.spoken_since(self._now() - _SNAPSHOT_MS)[-SNAPSHOT_UTTERANCES:]

    def snapshot(self, *, complete: bool, finals: Sequence[KnownFinal] | None = None) -> Snapshot:
        """Return `finals`, or else the latest; `complete` is whether the table was read."""
        chosen = self.latest() if finals is None else finals
        return Snapshot(
            conversation_id=self.id,
            utterances=tuple(final.utterance() for final in chosen),
            complete=complete,
            seq=self.seq,
        )

    def snapshot_frame(
        self,
        finals: Sequence[KnownFinal],
        *,
        complete: bool = True,
        position: str | None = None,
        more: bool = False,
        gap: bool = False,
    ) -> bytes:
        """Return a snapshot with `finals`, or a piece of one that is followed by `more`."""
        head = Snapshot(
            conversation_id=self.id,
            utterances=(),
            complete=complete,
            seq=self.seq,
            position=position,
            more=more,
            gap=gap,
        )
        return snapshot_frame(head, finals)

    def heartbeat(self, *, position: str | None) -> bytes:
        """Return an encoded heartbeat."""
        return encode(Heartbeat(conversation_id=self.id, seq=self.seq, position=position))

    # --- remembering ----------------------------------------------------------------------------

    def forget_old(self) -> None:
        """Forget finals that came too long ago."""
        now = self._now()
        self._remembered.forget(now - _REMEMBER_MS)
        self._remembered.forget_numbers(now - TOO_OLD_MS)
        bound = self._position.time if self.viewers else now - LATENESS_MS
        while self._ids and next(iter(self._ids.values())) < bound:
            del self._ids[next(iter(self._ids))]

    @property
    def is_idle(self) -> bool:
        """Whether this object can be dropped: no subscribers, no speakers, no recent finals."""
        return not (self.viewers or self.speakers or len(self._remembered))

    # --- private --------------------------------------------------------------------------------

    def _now(self) -> int:
        return milliseconds(self._clock())

    def _know(self, final: KnownFinal, came: int) -> None:
        self._ids[final.utterance_id] = final.mark.spoken
        if len(self._ids) > MOST_IDS:
            del self._ids[next(iter(self._ids))]
        self._remembered.add(final, came)
        self._position.add(final.mark, came)
        self._encoded = None

    def _publish(self, final: KnownFinal) -> bytes:
        self._know(final, self._now())
        self.seq += 1
        frame = final.frame(self.seq, self.position() if self.subscribers else None)
        self._broadcast(frame, final.frame(self.seq, None) if self.lagging else frame)
        if self.observers:
            self._notify(Final(**dict(final.utterance()), seq=self.seq))
        return frame

    def _broadcast(self, frame: bytes, without_position: bytes) -> None:
        self.sent_at = time.monotonic()
        for subscriber in tuple(self.subscribers):
            subscriber.deliver(frame)
        if self.lagging:
            for subscriber in tuple(self.lagging):
                subscriber.deliver(without_position)

    def _notify(self, message: Partial | Final) -> None:
        for observer in tuple(self.observers):
            observer.on_published(message)


class Hub:
    """All conversations of this server."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self._conversations: dict[ConversationId, Conversation] = {}

    def conversation(self, conversation_id: ConversationId) -> Conversation:
        """Return the conversation; a new one if it is not known yet."""
        known = self._conversations.get(conversation_id)
        if known is None:
            known = self._conversations[conversation_id] = Conversation(conversation_id, self.now)
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
    def add_viewer(self, conversation_id: ConversationId) -> Iterator[Conversation]:
        """Keep the conversation for a viewer while the context is open."""
        conversation = self.conversation(conversation_id)
        if conversation.is_stale:
            conversation.begin_again()
        conversation.viewers += 1
        try:
            yield conversation
        finally:
            conversation.viewers -= 1

    @contextmanager
    def add_subscriber(
        self,
        conversation_id: ConversationId,
        subscriber: Subscriber,
        *,
        is_lagging: bool = False,
        is_prompt: bool = False,
    ) -> Iterator[Conversation]:
        """Deliver the conversation to `subscriber` while the context is open.

        Args:
            conversation_id: which one.
            subscriber: who receives it.
            is_lagging: whether it lacks finals that the conversation's position covers. Then it
                gets messages without a position, until `catch_up`.
            is_prompt: whether it gets a message at least every second.
        """
        with self.add_viewer(conversation_id) as conversation:
            # Not read yet: what comes from now on is new to this subscriber.
            conversation.miss_table()
            (conversation.lagging if is_lagging else conversation.subscribers).add(subscriber)
            if is_prompt:
                conversation.prompt.add(subscriber)
            try:
                yield conversation
            finally:
                for group in (conversation.subscribers, conversation.lagging, conversation.prompt):
                    group.discard(subscriber)

    @property
    def subscribed(self) -> list[Conversation]:
        """The conversations that have subscribers."""
        return [c for c in self._conversations.values() if c.subscribers or c.lagging]

    def sweep(self) -> None:
        """Forget finals and conversations that are not needed any more."""
        for conversation in tuple(self._conversations.values()):
            conversation.forget_old()
            if conversation.is_idle:
                del self._conversations[conversation.id]
