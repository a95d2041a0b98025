"""A final leaves the journal when the table has it, and is sent again when it has not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from structlog.testing import capture_logs

from ecs_service.conversations import confirmation as module
from ecs_service.conversations.confirmation import (
    MOST_SENDINGS,
    OLDEST_SECONDS,
    CheckResult,
    Confirmation,
    classify,
)
from ecs_service.conversations.journal import Journal, JournalEntry, SentEntry
from tests.support.eventually import eventually
from tests.support.utterances import utterance
from transcripts.conversations import Key, key_of
from transcripts.models import Utterance

pytestmark = pytest.mark.unit

PAUSE = 15.0
AWAY = EndpointConnectionError(endpoint_url="table")
DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "BatchGetItem")


class World:
    """A journal, the table's side of it, and a clock."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        self.journal = journal
        self.table: set[Key] = set()
        self.busy: set[Key] = set()  # the table does not answer for these
        self.trouble: list[Exception] = []
        self.queue_answers = True
        self.asked: list[int] = []
        self.sent: list[str] = []
        self.confirmation = Confirmation(journal, self, self.send, pause=PAUSE)

    def has(self, keys: Collection[Key]) -> Mapping[Key, bool]:
        self.asked.append(len(keys))
        if self.trouble:
            raise self.trouble.pop(0)
        return {key: key in self.table for key in keys if key not in self.busy}

    async def send(self, entries: Sequence[JournalEntry]) -> bool:
        if not self.queue_answers:
            return False
        self.sent += [entry.body for entry in entries]
        self.journal.mark_sent([entry.id for entry in entries], self.now, PAUSE)
        return True

    def accepted(self, *finals: Utterance) -> None:
        """Have the queue take these."""
        for one in finals:
            self.journal.append(one.model_dump_json(by_alias=True))
        waiting = [entry.id for entry in self.journal.oldest_waiting(1_000)]
        self.journal.mark_sent(waiting, self.now, PAUSE)

    async def after(self, seconds: float) -> int | None:
        """Let time pass and look for what is due."""
        self.now += seconds
        entries = self.journal.due_for_check(self.now, 100)
        return await self.confirmation.confirm(entries) if entries else 0


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(Journal(), monkeypatch)


@contextlib.asynccontextmanager
async def running(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(module, "EVERY_SECONDS", 0)
    task = asyncio.create_task(world.confirmation.run())
    yield
    task.cancel()


def sent(*, seen: bool = False, sendings: int = 1, added: float = 0.0) -> SentEntry:
    return SentEntry(1, "", added, sendings, seen)


@pytest.mark.parametrize(
    ("entry", "found", "result"),
    [
        (sent(), True, CheckResult.SEEN),
        (sent(seen=True), True, CheckResult.CONFIRMED),
        (sent(), False, CheckResult.MISSING),
        (sent(seen=True), False, CheckResult.MISSING),
        (sent(sendings=MOST_SENDINGS), False, CheckResult.GIVEN_UP),
        (sent(sendings=MOST_SENDINGS), True, CheckResult.SEEN),
        (sent(added=-OLDEST_SECONDS), False, CheckResult.GIVEN_UP),
        (sent(added=-OLDEST_SECONDS, seen=True), True, CheckResult.CONFIRMED),
        (sent(), None, CheckResult.GIVEN_UP),
    ],
)
def test_what_becomes_of_a_final_follows_from_what_was_seen(
    entry: SentEntry, *, found: bool | None, result: CheckResult
) -> None:
    assert classify(entry, found=found, now=1.0) is result


async def test_a_final_leaves_when_the_table_had_it_twice(world: World) -> None:
    final = utterance()
    world.accepted(final)
    world.table.add(key_of(final))

    left = []
    for _ in range(3):
        await world.after(PAUSE)
        left.append(world.journal.count_sent())

    assert left == [1, 0, 0]
    assert world.asked == [1, 1]
    assert world.sent == []


async def test_nothing_is_looked_for_before_it_is_due(world: World) -> None:
    world.accepted(utterance())

    await world.after(PAUSE - 0.1)

    assert world.asked == []


async def test_a_table_that_forgets_gets_it_again_and_is_looked_at_twice_again(
    world: World,
) -> None:
    final = utterance()
    world.accepted(final)
    world.table.add(key_of(final))
    await world.after(PAUSE)
    world.table.clear()
    await world.after(PAUSE)
    world.table.add(key_of(final))
    await world.after(4 * PAUSE)

    assert world.sent == [final.model_dump_json(by_alias=True)]
    assert world.journal.count_sent() == 1
    await world.after(PAUSE)
    assert world.journal.count_sent() == 0


async def test_a_final_that_is_never_stored_is_sent_ever_less_often_and_put_aside(
    world: World,
) -> None:
    world.accepted(utterance())
    times: list[float] = []
    with capture_logs() as logs:
        while world.journal.count_sent():
            before = len(world.sent)
            await world.after(PAUSE)
            if len(world.sent) > before:
                times.append(world.now / PAUSE)

    assert times == [1, 1 + 4, 1 + 4 + 16, 1 + 4 + 16 + 64]
    assert world.now / PAUSE == 1 + 4 + 16 + 64 + 256
    [given_up] = [entry for entry in logs if entry["event"] == "final_not_stored"]
    assert given_up["log_level"] == "error"
    aside = world.journal._db.execute("SELECT refused FROM pending").fetchall()
    assert aside == [("NotStored",)]


async def test_of_many_that_are_missing_ten_are_sent_at_a_time(world: World) -> None:
    world.accepted(*(utterance() for _ in range(25)))

    missing = [await world.after(PAUSE), await world.after(0), await world.after(PAUSE)]

    assert missing == [25, 0, 15]
    assert len(world.sent) == 20


async def test_what_is_no_utterance_is_put_aside_and_stops_nobody(world: World) -> None:
    final = utterance()
    world.journal.append('{"text": "of another version"}')
    world.accepted(final)
    world.table.add(key_of(final))

    await world.after(PAUSE)
    await world.after(PAUSE)

    assert world.asked == [1, 1]
    assert world.journal.count_sent() == 0


async def test_what_the_table_had_no_time_for_is_looked_for_again(world: World) -> None:
    quick, slow = utterance(), utterance()
    world.accepted(quick, slow)
    world.table |= {key_of(quick), key_of(slow)}
    world.busy.add(key_of(slow))

    first = await world.after(PAUSE)
    world.busy.clear()
    await world.after(0)

    assert first == 1
    assert world.asked == [2, 1]
    assert world.sent == []


async def test_while_table_or_queue_is_away_everything_is_kept(world: World) -> None:
    world.accepted(utterance())
    world.trouble = [AWAY, ClientError({"Error": {"Code": "Throttling"}}, "BatchGetItem")]
    answers = [await world.after(PAUSE), await world.after(1)]
    world.queue_answers = False
    answers.append(await world.after(1))

    assert answers == [None, None, None]
    assert world.journal.count_sent() == 1
    assert len(world.journal.due_for_check(world.now, 100)) == 1


async def test_without_read_access_to_the_table_an_accepted_message_counts_as_durable(
    world: World,
) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            world.accepted(utterance())
            world.trouble = [DENIED]
            await world.after(PAUSE)

    assert world.journal.count_sent() == 0
    assert [entry["event"] for entry in logs] == ["table_denied"]


async def test_all_that_is_due_is_looked_for_in_calls_of_a_hundred(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    finals = [utterance() for _ in range(250)]
    world.accepted(*finals)
    world.table |= set(map(key_of, finals))
    world.now = PAUSE
    async with running(world, monkeypatch):
        await eventually(lambda: len(world.asked) == 3, "all were looked for")
        world.now = 2 * PAUSE
        await eventually(lambda: world.journal.count_sent() == 0, "all have left")

    assert world.asked == [100, 100, 50] * 2


async def test_an_unreachable_table_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.accepted(utterance())
    world.trouble, world.now = [AWAY, AWAY], PAUSE
    async with running(world, monkeypatch):
        await eventually(lambda: world.sent, "it is sent again")

    assert world.asked == [1, 1, 1]


async def test_after_a_start_what_was_sent_is_looked_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, final = tmp_path / "outbox.db", utterance()
    World(Journal(path), monkeypatch).accepted(final)

    again = World(Journal(path), monkeypatch)
    await again.after(0)

    assert again.sent == [final.model_dump_json(by_alias=True)]
