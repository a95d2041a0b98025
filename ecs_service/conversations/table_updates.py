"""Reads finals from the table into the hub, for history and for speakers on other servers.

The hub knows only what was published through this server. When a viewer joins a conversation, its
finals are read from the table first. While it has viewers they are read again every few seconds,
because its speakers may be connected to another server.

A reading usually begins two minutes ago, which is enough for a final of a live speaker. A stream
that was resumed may be up to half an hour behind. So every minute a reading begins at the time of
the conversation's position; when it finds a late final, the next ones begin near that.

All who ask at the same time share one reading of a conversation, and the readings of all
conversations share a few slots.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, Literal, Protocol

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from ecs_service.conversations.hub import Conversation, Hub
from ecs_service.conversations.positions import milliseconds
from ecs_service.conversations.remembered import KnownFinal
from transcripts.models import ConversationId, Utterance
from transcripts.protocol import SNAPSHOT_SECONDS

#: The longest that a viewer waits for the table, in seconds.
READ_TIMEOUT_SECONDS: Final = 5.0
#: How often a reading looks for late finals, in seconds. With 400 finals of 2 KB in half an hour it
#: costs as much as fourteen of the usual ones.
LOOK_BACK_SECONDS: Final = 60.0
#: How long the readings go on near a late final, in seconds.
LATE_SECONDS: Final = 120.0
#: The most finals of a reading, and the most that are sent to a viewer who comes back.
MOST_READ: Final = 5_000
#: The most readings at a time. Each takes a thread and at most some 20 MB.
READINGS_AT_ONCE: Final = 8

_SNAPSHOT_MS: Final = round(SNAPSHOT_SECONDS * 1000)
#: Readings for viewers begin at a whole minute, so that those who went together share one.
_SHARED_MS: Final = 60_000

log = structlog.get_logger(__name__)


class StoredFinals(Protocol):
    """The table, as far as updates read it. Blocking; called in a thread."""

    def read(self, conversation_id: ConversationId, moment: datetime) -> Iterator[Utterance]:
        """Yield the finals that began at `moment` or later, oldest first."""


class NoStoredFinals:
    """No finals: the `StoredFinals` of a service without a table."""

    def read(self, conversation_id: ConversationId, moment: datetime) -> Iterator[Utterance]:
        """Yield nothing."""
        del conversation_id, moment
        return iter(())


@dataclass(frozen=True, slots=True)
class Stored:
    """What a reading has found.

    Attributes:
        outcome: whether these are all finals; if not, there are none here, because the table did
            not answer, or had more than `MOST_READ`.
        finals: oldest first.
    """

    outcome: Literal["complete", "unreachable", "too_many"]
    finals: tuple[KnownFinal, ...] = ()


class _TooManyFinals(Exception):
    """There are more than `MOST_READ` finals."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A reading in flight.

    Attributes:
        since: when it begins, in milliseconds since 1970.
        has_known: whether it returns what the hub knows already, too.
        task: returns what it has found.
    """

    since: int
    has_known: bool
    task: asyncio.Task[Stored]


class TableUpdates:
    """Keeps the hub's conversations up to date with the table."""

    def __init__(self, hub: Hub, store: StoredFinals) -> None:
        self._hub = hub
        self._store = store
        self._readings: dict[ConversationId, _Reading] = {}
        #: From when on the next reading of a conversation is wanted.
        self._wanted: dict[ConversationId, int] = {}
        self._slots = asyncio.Semaphore(READINGS_AT_ONCE)

    @property
    def has_table(self) -> bool:
        """Whether finals are stored at all."""
        return not isinstance(self._store, NoStoredFinals)

    async def refresh(self, conversation_id: ConversationId) -> bool:
        """Read a conversation's recent finals, and publish what is new to this server.

        Returns whether the table answered. If not, the hub has only what this server published.
        """
        for _ in range(2):
            reading = self._readings.get(conversation_id) or self._start(conversation_id, None)
            outcome = (await asyncio.shield(reading.task)).outcome
            if outcome != "too_many":
                return outcome == "complete"
            # The next one is short: it does not look for late finals.
        return False

    async def read_back(self, conversation_id: ConversationId, since: int) -> Stored:
        """Return all finals from a time on, in milliseconds since 1970, and publish what is new."""
        since -= since % _SHARED_MS
        self._wanted[conversation_id] = min(self._wanted.get(conversation_id, since), since)
        try:
            while (reading := self._readings.get(conversation_id)) is not None:
                if reading.has_known and reading.since <= since:
                    break
                await asyncio.wait([reading.task])
            else:
                reading = self._start(
                    conversation_id, min(self._wanted.get(conversation_id, since), since)
                )
        finally:
            self._wanted.pop(conversation_id, None)
        return await asyncio.shield(reading.task)

    async def run(self, every: float) -> None:
        """Refresh every conversation that has subscribers each `every` seconds, until cancelled."""
        while True:
            await asyncio.sleep(every)
            self._hub.sweep()
            await asyncio.gather(*[self.refresh(each.id) for each in self._hub.subscribed])

    def _start(self, conversation_id: ConversationId, since: int | None) -> _Reading:
        """Start a reading for the hub, or from a time on for viewers."""
        conversation = self._hub.conversation(conversation_id)
        began = milliseconds(self._hub.now())
        if conversation.horizon is None:
            conversation.begin_again()
        if since is None:
            first = _first_moment(conversation, began)
        else:
            first = min(since, conversation.covered_until)
        task = asyncio.create_task(
            self._read(conversation, first, began, has_known=since is not None)
        )
        reading = _Reading(first, since is not None, task)
        self._readings[conversation_id] = reading
        task.add_done_callback(lambda _: self._readings.pop(conversation_id, None))
        return reading

    async def _read(
        self, conversation: Conversation, since: int, began: int, *, has_known: bool
    ) -> Stored:
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS), self._slots:
                stored = await asyncio.to_thread(
                    self._read_table, conversation, since, has_known=has_known
                )
        except (BotoCoreError, ClientError, TimeoutError) as error:
            log.warning("table_unreachable", error=type(error).__name__)
            conversation.miss_table()
            return Stored("unreachable")
        except _TooManyFinals:
            log.warning("too_many_finals", most=MOST_READ)
            conversation.miss_table()
            conversation.looked_back_at = began  # the next reading is short
            return Stored("too_many")
        conversation.take_stored(stored, began=began, since=since)
        return Stored("complete", stored)

    def _read_table(
        self, conversation: Conversation, since: int, *, has_known: bool
    ) -> tuple[KnownFinal, ...]:
        """Read the table, in a thread.

        Raises:
            _TooManyFinals: it has more than `MOST_READ`.
        """
        moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=since)
        finals: list[KnownFinal] = []
        stored = self._store.read(conversation.id, moment)
        for count, utterance in enumerate(islice(stored, MOST_READ + 1)):
            if count == MOST_READ:
                raise _TooManyFinals
            if has_known or not conversation.knows(utterance.utterance_id):
                finals.append(KnownFinal.of(utterance))
        return tuple(finals)


def _first_moment(conversation: Conversation, now: int) -> int:
    """Return from when on a conversation is to be read. In milliseconds since 1970."""
    covered = conversation.covered_until
    is_due = now - conversation.looked_back_at >= LOOK_BACK_SECONDS * 1000
    if conversation.horizon is None or is_due:
        return covered
    first = min(now, conversation.read_at)
    if now - conversation.late_at < LATE_SECONDS * 1000:
        first = min(first, conversation.late_spoken)
    return max(first - _SNAPSHOT_MS, covered)
