"""A disk that is full costs the finals that do not fit, and nothing else."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from ecs_service.conversations import outbox as module
from ecs_service.conversations.hub import Conversation
from ecs_service.conversations.journal import Journal
from ecs_service.conversations.outbox import Outbox
from ecs_service.sessions.publisher import OutboxSink, Publisher
from speech.engines.base import Result
from tests.support.utterances import utterance
from transcripts.models import Utterance

pytestmark = pytest.mark.unit

BEGAN = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class FullOnce(Journal):
    """Can neither note nor delete at first: in SQLite's WAL a deletion needs room, too."""

    full = True

    def mark_sent(self, ids: Iterable[int], now: float, pause: float) -> None:
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().mark_sent(ids, now, pause)

    def remove(self, ids: Iterable[int]) -> None:
        if self.full:
            self.full = False
            raise sqlite3.OperationalError("database or disk is full")
        super().remove(ids)


class Queue:
    """Plays the SQS client that takes everything."""

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803 - the API's names
        del QueueUrl
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}


async def test_the_outbox_outlives_a_disk_on_which_nothing_can_be_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0)
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0)
    outbox = Outbox(FullOnce(), Queue(), "queue", confirm_seconds=15.0)  # type: ignore[arg-type] # plays the client
    running = asyncio.create_task(outbox.run())
    outbox.add(utterance())
    flushing = asyncio.create_task(outbox.flush())

    done, _ = await asyncio.wait(
        {running, flushing}, timeout=5, return_when=asyncio.FIRST_COMPLETED
    )

    assert done == {flushing}
    assert outbox.journal.count_waiting() == 0
    running.cancel()


class NoRoom:
    """An outbox that can keep nothing."""

    def add(self, utterance: Utterance) -> None:
        del utterance
        raise sqlite3.OperationalError("database or disk is full")


def test_the_partial_of_a_final_that_cannot_be_kept_is_retracted() -> None:
    published: list[bytes] = []
    publisher = Publisher(
        Conversation("talk"),
        OutboxSink(NoRoom()),
        lambda frame, **_: published.append(frame),
        stream_id="stream",
        speaker="Ada",
        language="en-US",
    )
    publisher.publish(Result(0, is_final=False, text="hel", start=1.0, end=1.5), BEGAN)
    with pytest.raises(sqlite3.OperationalError):
        publisher.publish(Result(0, is_final=True, text="hello", start=1.0, end=2.0), BEGAN)

    publisher.retract_open()

    assert json.loads(published[-1])["text"] == ""
