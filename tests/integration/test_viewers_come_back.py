"""Viewers who come back over real sockets, to the task that they left and to another one."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from client.errors import Refused
from client.live.connection import Message, Speaker, Viewer
from ecs_service.api import viewer_connection
from ecs_service.conversations.positions import LATENESS_MS, Position, milliseconds
from ecs_service.conversations.table_updates import NoStoredFinals
from ecs_service.settings import Settings
from tests.support.cloud import Cloud
from tests.support.service import RunningService, running_service, service_in_process
from tests.support.utterances import conversation, utterance
from transcripts.models import Utterance
from transcripts.protocol import (
    LIVE_SECONDS,
    SNAPSHOT_UTTERANCES,
    ConnectParameters,
    ErrorCode,
    Final,
    Heartbeat,
    Snapshot,
    TranscribeParameters,
)

pytestmark = pytest.mark.integration

CHUNK = bytes(3200)
#: More than a snapshot's piece.
MANY = 2 * SNAPSHOT_UTTERANCES + 50


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[RunningService]:
    """A service without a table, for all tests of the module."""
    async with running_service() as running:
        yield running


def viewer(url: str, talk: str, **options: Any) -> Viewer:
    return Viewer(url, ConnectParameters(conversation_id=talk, **options))


async def take(messages: AsyncIterator[Message], kind: type[Message]) -> Any:
    """Return the next message of a kind."""
    async with asyncio.timeout(10):
        while not isinstance(message := await anext(messages), kind):
            pass
        return message


async def speak(url: str, talk: str, seconds: float) -> list[Final]:
    parameters = TranscribeParameters(sample_rate=16_000, conversation_id=talk)
    async with Speaker(url, parameters) as speaker:
        for _ in range(round(seconds * 10)):
            await speaker.send(CHUNK)
        await speaker.stop()
        return [message async for message in speaker if isinstance(message, Final)]


async def test_who_comes_back_gets_what_was_said_meanwhile_and_then_goes_on(
    service: RunningService,
) -> None:
    talk = conversation()
    async with viewer(service.url, talk) as watching:
        messages = aiter(watching)
        await take(messages, Snapshot)
        await speak(service.url, talk, 3.2)
        since = (await take(messages, Final)).position
    missed = await speak(service.url, talk, 3.2)
    async with viewer(service.url, talk, since=since) as back:
        messages = aiter(back)
        snapshot = await take(messages, Snapshot)
        await speak(service.url, talk, 3.2)
        live = await take(messages, Final)

    assert [one.utterance_id for one in snapshot.utterances] == [m.utterance_id for m in missed]
    assert (snapshot.gap, snapshot.more, snapshot.complete) == (False, False, True)
    assert live.utterance_id not in {m.utterance_id for m in missed}


async def test_in_silence_a_message_comes_every_second_for_those_who_ask(
    service: RunningService,
) -> None:
    async with viewer(service.url, conversation(), heartbeat=True) as watching:
        messages = aiter(watching)
        snapshot = await take(messages, Snapshot)
        times = [time.monotonic()]
        for _ in range(3):
            heartbeat = await take(messages, Heartbeat)
            times.append(time.monotonic())

    assert heartbeat.position == snapshot.position
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) < LIVE_SECONDS * 2, "half a second for a busy machine, and more"
    assert min(gaps[1:]) > LIVE_SECONDS / 2


async def test_a_malformed_position_is_an_invalid_parameter(service: RunningService) -> None:
    for since in ("AA", "A" * 900, "%21"):
        with pytest.raises(Refused) as refusal:
            async with viewer(service.url, conversation(), since=since.replace("%21", "AQ")) as v:
                await anext(aiter(v))
        assert refusal.value.code is ErrorCode.INVALID_PARAMETER


async def test_many_finals_come_in_pieces_from_the_table(cloud: Cloud) -> None:
    talk = conversation()
    begin = datetime.now(UTC) - timedelta(minutes=4)
    spoken = [
        utterance(
            talk,
            utterance_id=f"stream-{n}",
            timestamp=begin + timedelta(milliseconds=500 * n),
            number=n + 1,
        )
        for n in range(MANY)
    ]
    environment = cloud.environment | {
        "queue_url": cloud.resources.queue_url,
        "table_name": cloud.resources.table_name,
    }
    async with running_service(**environment) as here:
        async with viewer(here.url, talk) as watching:
            since = (await take(aiter(watching), Snapshot)).position
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(cloud.table.put, spoken))
        # On another task: this one would publish the newest by itself.
        async with running_service(**environment) as there:
            pieces: list[Snapshot] = []
            async with viewer(there.url, talk, since=since) as back:
                messages = aiter(back)
                while not pieces or pieces[-1].more:
                    pieces.append(await take(messages, Snapshot))

    received = [one.utterance_id for piece in pieces for one in piece.utterances]
    assert received == [one.utterance_id for one in spoken]
    assert max(len(piece.utterances) for piece in pieces) <= SNAPSHOT_UTTERANCES
    assert [piece.position is None for piece in pieces] == [True] * (len(pieces) - 1) + [False]


async def test_while_the_table_is_away_captions_go_on_and_the_rest_comes_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talk, is_away = conversation(), True
    missed = utterance(
        talk,
        utterance_id="elsewhere-1",
        number=1,
        timestamp=datetime.now(UTC).replace(microsecond=0),
    )

    def read(*_: object) -> Iterator[Utterance]:
        if is_away:
            raise EndpointConnectionError(endpoint_url="table")
        return iter([missed])

    monkeypatch.setattr(NoStoredFinals, "read", read)
    monkeypatch.setattr(viewer_connection, "RETRY_SECONDS", 0.05)
    since = Position(milliseconds(missed.timestamp) - LATENESS_MS).encode()
    async with (
        service_in_process(Settings(engine="scripted", updates_seconds=3600)) as url,
        viewer(url, talk, since=since) as back,
    ):
        messages = aiter(back)
        first = await take(messages, Snapshot)
        await speak(url, talk, 3.2)
        live = await take(messages, Final)
        is_away = False
        rest = await take(messages, Snapshot)
        await speak(url, talk, 3.2)
        after = await take(messages, Final)

    assert (first.complete, first.position, first.utterances) == (False, since, ())
    assert live.position is None, "it would cover what is missing"
    assert rest.complete
    assert missed.utterance_id in {one.utterance_id for one in rest.utterances}
    assert after.position is not None
