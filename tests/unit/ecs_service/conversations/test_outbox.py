from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from ecs_service.conversations import journal as journal_module
from ecs_service.conversations import outbox as module
from ecs_service.conversations.journal import Journal
from ecs_service.conversations.outbox import Outbox
from tests.support.utterances import utterance
from transcripts.models import Utterance

pytestmark = pytest.mark.unit


class Queue:
    """Plays the SQS client: answers from a list, then accepts everything."""

    def __init__(self, *answers: Exception | dict[str, str]) -> None:
        self.answers = list(answers)
        self.taken: list[str] = []
        self.batches: list[int] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803 - the API's names
        assert QueueUrl == "queue"
        self.batches.append(len(Entries))
        refused: dict[str, str] = {}
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            refused = answer
        accepted = [e for e in Entries if e["MessageBody"] not in refused]
        self.taken += [e["MessageBody"] for e in accepted]
        return {
            "Successful": [{"Id": e["Id"]} for e in accepted],
            "Failed": [
                {"Id": e["Id"], "SenderFault": refused[e["MessageBody"]] == "sender", "Code": "No"}
                for e in Entries
                if e["MessageBody"] in refused
            ],
        }


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0)
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0)


@contextlib.asynccontextmanager
async def running(queue: Queue, journal: Journal) -> AsyncIterator[Outbox]:
    outbox = Outbox(journal, queue, "queue", confirm_seconds=15.0)  # type: ignore[arg-type] # plays the client
    task = asyncio.create_task(outbox.run())
    yield outbox
    task.cancel()


def body(of: Utterance) -> str:
    return of.model_dump_json(by_alias=True)


async def test_finals_go_out_in_order_and_in_full_batches() -> None:
    queue, finals = Queue(), [utterance() for _ in range(25)]
    async with running(queue, Journal()) as outbox:
        for each in finals:
            outbox.add(each)
        await outbox.flush()

    assert queue.taken == [body(each) for each in finals]
    assert queue.batches == [10, 10, 5]
    assert outbox.journal.count_waiting() == 0


async def test_an_unreachable_queue_is_tried_again() -> None:
    away = EndpointConnectionError(endpoint_url="queue")
    queue, final = Queue(away, away, away), utterance()
    async with running(queue, Journal()) as outbox:
        outbox.add(final)
        await outbox.flush()

    assert queue.taken == [body(final)]
    assert len(queue.batches) == 4


async def test_of_a_batch_only_what_failed_is_sent_again() -> None:
    good, late = utterance(), utterance()
    queue = Queue({body(late): "service"})
    async with running(queue, Journal()) as outbox:
        outbox.add(good)
        outbox.add(late)
        await outbox.flush()

    assert queue.taken == [body(good), body(late)]


async def test_what_the_queue_never_takes_is_set_aside_and_stops_nobody() -> None:
    bad, good = utterance(), utterance()
    queue = Queue({body(bad): "sender"})
    journal = Journal()
    async with running(queue, journal) as outbox:
        outbox.add(bad)
        outbox.add(good)
        await outbox.flush()

    assert queue.taken == [body(good)]
    kept = journal._db.execute("SELECT body, refused FROM pending WHERE due IS NULL").fetchall()
    assert kept == [(body(bad), "No")]


async def test_what_an_earlier_process_left_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "outbox.sqlite"
    final, queue = utterance(), Queue()
    Outbox(Journal(path), queue, "queue", confirm_seconds=15.0).add(final)  # type: ignore[arg-type] # plays the client

    async with running(queue, Journal(path)) as outbox:
        await outbox.flush()

    assert [json.loads(each)["text"] for each in queue.taken] == [final.text]


def test_the_journal_counts_what_waits_and_since_when() -> None:
    journal = Journal()
    nothing = (journal.count_waiting(), journal.oldest_age())
    journal.append("a")
    journal.append("b")

    assert nothing == (0, 0.0)
    assert journal.count_waiting() == 2
    assert 0 <= journal.oldest_age() < 5
    journal.remove(entry.id for entry in journal.oldest_waiting(1))
    assert [entry.body for entry in journal.oldest_waiting(10)] == ["b"]


async def test_what_the_queue_has_stays_until_somebody_has_seen_it_stored() -> None:
    queue, journal = Queue(), Journal()
    async with running(queue, journal) as outbox:
        outbox.add(utterance())
        await outbox.flush()

    assert (outbox.journal.count_waiting(), outbox.journal.oldest_age()) == (0, 0.0)
    assert outbox.journal.count_sent() == 1


async def test_beyond_a_bound_an_accepted_message_counts_as_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_SENT", 20)
    queue = Queue()
    async with running(queue, Journal()) as outbox:
        for _ in range(50):
            outbox.add(utterance())
        await outbox.flush()

    assert len(queue.taken) == 50
    assert outbox.journal.count_sent() == 20


async def test_a_journal_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    path, final, queue = tmp_path / "outbox.db", utterance(), Queue()
    with contextlib.closing(sqlite3.connect(path)) as earlier, earlier:
        earlier.execute(
            "CREATE TABLE pending (id INTEGER PRIMARY KEY AUTOINCREMENT,"
            " added REAL NOT NULL, body TEXT NOT NULL, refused TEXT)"
        )
        earlier.execute("INSERT INTO pending (added, body) VALUES (1.0, ?)", (body(final),))
        earlier.execute("INSERT INTO pending (added, body, refused) VALUES (1.0, 'x', 'No')")

    async with running(queue, Journal(path)) as outbox:
        await outbox.flush()

    assert queue.taken == [body(final)]
    assert outbox.journal.count_sent() == 1


def test_a_full_journal_gives_the_room_of_what_was_sent_to_new_finals() -> None:
    journal = Journal(limit=256 * 1024)
    count = 0
    with pytest.raises(sqlite3.OperationalError, match="full"):
        while True:
            journal.append("x" * 1_000)
            count += 1
    journal.mark_sent([entry.id for entry in journal.oldest_waiting(10)], 0.0, 1.0)

    journal.append("x" * 1_000)

    assert journal.count_waiting() == count - 10 + 1
    assert journal.count_sent() == 0


def test_of_what_was_put_aside_the_newest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MOST_SET_ASIDE", 2)
    journal = Journal()
    for each in "abcd":
        journal.append(each)

    for entry in journal.oldest_waiting(3):
        journal.set_aside(entry.id, "No")

    kept = journal._db.execute("SELECT body FROM pending WHERE refused IS NOT NULL").fetchall()
    assert kept == [("b",), ("c",)]
    assert journal.count_waiting() == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM pending WHERE due IS NULL AND refused IS NULL ORDER BY id",
        "SELECT id FROM pending WHERE due <= 1.0 ORDER BY due",
    ],
)
def test_the_journal_is_as_quick_however_much_it_holds(query: str) -> None:
    plan = Journal()._db.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()

    assert "INDEX" in str(plan)
