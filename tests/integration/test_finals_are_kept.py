"""Finals are stored exactly once, whatever crashes or is unreachable meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from client.live import Speaker, Viewer
from client.live.connection import Message
from local_cloud.launcher.demo import DIST
from tests.support.cloud import Cloud
from tests.support.eventually import eventually
from tests.support.flaky_link import flaky_link
from tests.support.kill_drill import drill
from tests.support.service import running_service
from tests.support.utterances import conversation
from transcripts.models import Utterance
from transcripts.protocol import (
    Closed,
    ConnectParameters,
    Final,
    Heartbeat,
    Partial,
    Snapshot,
    TranscribeParameters,
)

pytestmark = pytest.mark.integration

CHUNK = bytes(3_200)


def settings(cloud: Cloud, tmp_path: Path) -> dict[str, Any]:
    return cloud.environment | {
        "queue_url": cloud.resources.queue_url,
        "table_name": cloud.resources.table_name,
        "outbox_path": tmp_path / "outbox.sqlite",
        "updates_seconds": 0.5,
    }


def stored(cloud: Cloud, conversation_id: str) -> list[Utterance]:
    return cloud.table.since(conversation_id, datetime.now(UTC) - timedelta(minutes=10))


async def all_stored(cloud: Cloud, conversation_id: str, finals: list[Final]) -> list[Utterance]:
    """Wait until every final is in the table; return what the table has."""
    ids = {final.utterance_id for final in finals}

    async def look() -> list[Utterance]:
        found = await asyncio.to_thread(stored, cloud, conversation_id)
        return found if {u.utterance_id for u in found} >= ids else []

    return await eventually(look, f"{len(ids)} finals are stored", within=40)


def speaker(url: str, conversation_id: str) -> Speaker:
    return Speaker(url, TranscribeParameters(sample_rate=16_000, conversation_id=conversation_id))


async def send_audio(talk: Speaker, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        await talk.send(CHUNK)


async def finals_of(talk: Speaker, *, count: int | None = None) -> list[Final]:
    """Return the finals up to `count`, or to the end of the stream."""
    finals: list[Final] = []
    async for message in talk:
        if isinstance(message, Final):
            finals.append(message)
        if len(finals) == count:
            break
    return finals


async def test_what_was_shown_is_stored_as_it_was_shown(cloud: Cloud, tmp_path: Path) -> None:
    talk_id = conversation()
    async with (
        running_service(**settings(cloud, tmp_path)) as service,
        speaker(service.url, talk_id) as talk,
    ):
        await send_audio(talk, 40)
        await talk.stop()
        finals = await finals_of(talk)
        found = await all_stored(cloud, talk_id, finals)

    assert [(u.utterance_id, u.text, u.words) for u in found] == [
        (f.utterance_id, f.text, f.words) for f in finals
    ]


async def test_finals_outlive_an_absence_of_the_queue(cloud: Cloud, tmp_path: Path) -> None:
    talk_id = conversation()
    async with flaky_link(cloud.environment["AWS_ENDPOINT_URL"]) as link:
        environment = settings(cloud, tmp_path) | {
            "aws_endpoint_url": link.url,
            "queue_url": cloud.resources.queue_url,
        }
        async with (
            running_service(**environment) as service,
            speaker(service.url, talk_id) as talk,
        ):
            link.cut()
            await send_audio(talk, 20)
            finals = await finals_of(talk, count=6)
            await eventually(lambda: service.logged("queue_unreachable"), "the queue is missed")
            assert stored(cloud, talk_id) == []
            link.restore()
            await send_audio(talk, 20)
            await talk.stop()
            finals += await finals_of(talk)
            found = await all_stored(cloud, talk_id, finals)

    assert len(finals) == 13
    assert [u.utterance_id for u in found] == [f.utterance_id for f in finals]


async def test_finals_outlive_sigterm_in_mid_stream(cloud: Cloud, tmp_path: Path) -> None:
    talk_id = conversation()
    async with (
        running_service(**settings(cloud, tmp_path)) as service,
        speaker(service.url, talk_id) as talk,
    ):
        await send_audio(talk, 5)
        finals = await finals_of(talk, count=1)
        service.process.terminate()
        rest = [message async for message in talk]
        finals += [m for m in rest if isinstance(m, Final)]
        code = await service.terminate()
        found = await all_stored(cloud, talk_id, finals)

    assert isinstance(rest[-1], Closed)
    assert len(finals) == 2
    assert [u.utterance_id for u in found] == [f.utterance_id for f in finals]
    assert code == 0


async def test_finals_outlive_kill_9_and_the_next_start_sends_them(
    cloud: Cloud, tmp_path: Path
) -> None:
    talk_id = conversation()
    async with flaky_link(cloud.environment["AWS_ENDPOINT_URL"]) as link:
        environment = settings(cloud, tmp_path) | {"aws_endpoint_url": link.url}
        async with (
            running_service(**environment) as service,
            speaker(service.url, talk_id) as talk,
        ):
            link.cut()
            await send_audio(talk, 10)
            finals = await finals_of(talk, count=3)
            service.process.kill()
            await service.process.wait()
        link.restore()
        async with running_service(**environment):
            found = await all_stored(cloud, talk_id, finals)

    assert [u.utterance_id for u in found] == [f.utterance_id for f in finals]


def in_journal(tmp_path: Path) -> int:
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as journal:
        count: int = journal.execute("SELECT count(*) FROM pending").fetchone()[0]
        return count


async def test_the_journal_is_empty_when_the_table_has_everything(
    cloud: Cloud, tmp_path: Path
) -> None:
    environment = settings(cloud, tmp_path) | {"confirm_seconds": 0.5}
    talk_id = conversation()
    async with running_service(**environment) as service, speaker(service.url, talk_id) as talk:
        await send_audio(talk, 40)
        await talk.stop()
        finals = await finals_of(talk)
        before = in_journal(tmp_path)
        await all_stored(cloud, talk_id, finals)
        await eventually(lambda: in_journal(tmp_path) == 0, "all is confirmed")

    assert 0 < before <= len(finals)
    assert not service.logged("table_denied")
    assert not service.logged("table_unreachable")


async def test_what_the_queue_has_lost_is_sent_again(cloud: Cloud, tmp_path: Path) -> None:
    queue = cloud.client("sqs").create_queue(QueueName=f"test-{uuid.uuid4()}")["QueueUrl"]
    environment = settings(cloud, tmp_path)
    talk_id = conversation()
    async with (
        running_service(**environment | {"queue_url": queue}) as service,
        speaker(service.url, talk_id) as talk,
    ):
        await send_audio(talk, 10)
        await talk.stop()
        finals = await finals_of(talk)
        code = await service.terminate()  # which waits for the queue alone
    cloud.client("sqs").delete_queue(QueueUrl=queue)

    async with running_service(**environment) as service:
        found = await all_stored(cloud, talk_id, finals)

    assert code == 0
    assert [u.utterance_id for u in found] == [f.utterance_id for f in finals]
    assert service.logged("finals_sent_again")


@pytest.mark.skipif(not (DIST / "index.html").exists(), reason="the web page is not built")
@pytest.mark.parametrize("seconds", [0.2, 1.5])
async def test_finals_outlive_kill_9_of_everything(tmp_path: Path, seconds: float) -> None:
    outcome = await drill(tmp_path, seconds)

    assert outcome.seen
    assert [outcome.copies[each] for each in outcome.seen] == [1] * len(outcome.seen)


async def test_a_viewer_at_another_server_reads_it_from_the_table(
    cloud: Cloud, tmp_path: Path
) -> None:
    talk_id = conversation()
    one, other = tmp_path / "one", tmp_path / "other"
    async with (
        running_service(**settings(cloud, one)) as here,
        running_service(**settings(cloud, other)) as there,
        speaker(here.url, talk_id) as talk,
        Viewer(there.url, ConnectParameters(conversation_id=talk_id)) as watching,
    ):
        await send_audio(talk, 3.2)
        first = await finals_of(talk, count=1)
        await all_stored(cloud, talk_id, first)
        messages: list[Message] = []
        async for message in watching:
            if not isinstance(message, Heartbeat):
                messages.append(message)
            if len(messages) == 2:
                break
        async with Viewer(there.url, ConnectParameters(conversation_id=talk_id)) as late:
            snapshot = await anext(aiter(late))

    assert isinstance(messages[0], Snapshot)
    assert isinstance(messages[1], Final)
    assert messages[1].utterance_id == first[0].utterance_id
    assert isinstance(snapshot, Snapshot)
    assert [u.utterance_id for u in snapshot.utterances] == [first[0].utterance_id]


async def test_a_viewer_learns_that_the_table_does_not_answer(cloud: Cloud, tmp_path: Path) -> None:
    talk_id = conversation()
    async with flaky_link(cloud.environment["AWS_ENDPOINT_URL"]) as link:
        environment = settings(cloud, tmp_path) | {
            "aws_endpoint_url": link.url,
            "drain_seconds": 1,
        }
        async with (
            running_service(**environment) as service,
            speaker(service.url, talk_id) as talk,
        ):
            link.cut()
            async with Viewer(service.url, ConnectParameters(conversation_id=talk_id)) as watching:
                messages = aiter(watching)
                snapshot = await anext(messages)
                await send_audio(talk, 0.5)
                live = await anext(messages)

    assert isinstance(snapshot, Snapshot)
    assert not snapshot.complete
    assert isinstance(live, Partial)
