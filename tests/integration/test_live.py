"""Speakers and viewers of the running service, with the scripted engine."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import psutil
import pytest

from client.errors import ConnectionLost, Refused
from client.live.connection import Message, Speaker, Viewer
from ecs_service.api import audio_connection, viewer_connection
from ecs_service.api.health import LOAD_BALANCER_PATH
from ecs_service.conversations import heartbeats
from ecs_service.settings import Settings
from tests.support.eventually import eventually
from tests.support.service import RunningService, running_service, service_in_process
from transcripts.protocol import (
    Ack,
    Closed,
    ConnectParameters,
    ErrorCode,
    Final,
    Heartbeat,
    Partial,
    Snapshot,
    TranscribeParameters,
)

pytestmark = pytest.mark.integration

CHUNK = bytes(3_200)  # 100 ms at 16 kHz


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[RunningService]:
    async with running_service() as running:
        yield running


def speaker(url: str, conversation: str | None = None, **options: Any) -> Speaker:
    interim = options.pop("interim_results", True)
    parameters = TranscribeParameters(
        **{"sample_rate": 16_000, "conversation_id": conversation} | options
    )
    return Speaker(url, parameters, interim_results=interim)


def viewer(url: str, conversation: str, **options: Any) -> Viewer:
    return Viewer(url, ConnectParameters(conversation_id=conversation, **options))


async def send_audio(talk: Speaker, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        await talk.send(CHUNK)


async def speak(
    url: str, conversation: str | None, seconds: float, **options: Any
) -> list[Message]:
    """Speak, stop, and return every answer."""
    async with speaker(url, conversation, **options) as talk:
        await send_audio(talk, seconds)
        await talk.stop()
        return [message async for message in talk]


async def take(messages: AsyncIterator[Message], *, until_final: int) -> list[Message]:
    """Return messages up to and including so many finals."""
    taken: list[Message] = []
    async with asyncio.timeout(10):
        async for message in messages:
            taken.append(message)
            if sum(isinstance(m, Final) for m in taken) == until_final:
                break
    return taken


def results(messages: list[Message]) -> list[Partial | Final]:
    return [m for m in messages if isinstance(m, Partial | Final)]


async def test_everybody_reads_the_same_while_it_is_spoken(service: RunningService) -> None:
    conversation = uuid4().hex
    async with (
        viewer(service.url, conversation) as first,
        viewer(service.url, conversation) as second,
    ):
        received = [await anext(aiter(v)) for v in (first, second)]
        spoken = await speak(service.url, conversation, 4.0)
        seen = [results(await take(aiter(v), until_final=2)) for v in (first, second)]

    assert all(isinstance(message, Snapshot) for message in received)
    assert seen[0] == seen[1] == results(spoken)
    assert [m.seq for m in seen[0]] == list(range(1, len(seen[0]) + 1))
    assert isinstance(spoken[-1], Closed)
    assert spoken[-1].finals == 2


async def test_an_utterance_keeps_its_id_and_its_final_comes_last(service: RunningService) -> None:
    spoken = results(await speak(service.url, None, 6.4))

    by_utterance: dict[str, list[str]] = {}
    for message in spoken:
        by_utterance.setdefault(message.utterance_id, []).append(message.type)
    assert len(by_utterance) == 2
    assert all(
        kinds.count("final") == 1 and kinds[-1] == "final" for kinds in by_utterance.values()
    )


async def test_words_before_stop_are_flushed(service: RunningService) -> None:
    spoken = await speak(service.url, None, 0.5)

    finals = [m for m in spoken if isinstance(m, Final)]
    assert [len(final.words) for final in finals] == [1]
    assert [type(m) for m in spoken[-2:]] == [Ack, Closed]


async def test_a_late_viewer_gets_the_past_and_then_every_message_once(
    service: RunningService,
) -> None:
    conversation = uuid4().hex
    async with speaker(service.url, conversation) as talk:
        await send_audio(talk, 3.3)
        before = await take(aiter(talk), until_final=1)
        async with viewer(service.url, conversation) as late:
            snapshot = await anext(aiter(late))
            await send_audio(talk, 3.2)
            after = results(await take(aiter(late), until_final=1))

    assert isinstance(snapshot, Snapshot)
    assert [u.utterance_id for u in snapshot.utterances] == [
        m.utterance_id for m in before if isinstance(m, Final)
    ]
    assert after[0].seq == snapshot.seq + 1
    assert [m.seq for m in after] == list(range(after[0].seq, after[0].seq + len(after)))


async def test_partials_can_be_kept_from_the_speaker_but_not_from_viewers(
    service: RunningService,
) -> None:
    conversation = uuid4().hex
    async with viewer(service.url, conversation) as watching:
        await anext(aiter(watching))
        spoken = await speak(service.url, conversation, 1.0, interim_results=False)
        seen = await take(aiter(watching), until_final=1)

    assert not [m for m in spoken if isinstance(m, Partial)]
    assert [m for m in seen if isinstance(m, Partial)]


async def test_audio_before_a_lost_connection_becomes_final(
    service: RunningService,
) -> None:
    conversation = uuid4().hex
    async with viewer(service.url, conversation) as watching:
        await anext(aiter(watching))
        async with speaker(service.url, conversation) as talk:
            await send_audio(talk, 1.0)
            await take_partials(talk, 2)
            connection = talk._socket._conn
            assert connection is not None
            assert connection.transport is not None
            connection.transport.abort()
        seen = await take(aiter(watching), until_final=1)

    final = seen[-1]
    assert isinstance(final, Final)
    assert len(final.words) == 2


async def test_start_may_change_the_format(service: RunningService) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{service.url}/api/stt/transcribe?sampleRate=16000") as talk,
    ):
        await talk.send_str('{"type":"start","format":{"sampleRate":48000,"channels":2}}')
        for _ in range(10):
            await talk.send_bytes(bytes(48_000 * 2 * 2 // 10))
        await talk.send_str('{"type":"stop"}')
        messages = [json.loads(message.data) async for message in talk]

    assert messages[-1]["type"] == "closed"
    assert messages[-1]["duration"] == pytest.approx(1.0)
    assert len(messages[-3]["words"]) == 2


async def test_a_full_service_answers_at_once_and_stays_healthy() -> None:
    async with running_service(slots=1) as service, speaker(service.url) as talk:
        await send_audio(talk, 0.1)
        with pytest.raises(Refused) as refusal:
            await speak(service.url, None, 0.1)
        async with aiohttp.ClientSession() as session:
            ready = await session.get(f"{service.url}/api/stt/ready")
            health = await session.get(f"{service.url}/api/stt/healthcheck")
            text = await health.text()
            for_load_balancers = await session.get(f"{service.url}{LOAD_BALANCER_PATH}")

    assert refusal.value.code is ErrorCode.AT_CAPACITY
    assert refusal.value.retry_after is not None
    assert (ready.status, int(ready.headers["Retry-After"]) >= 1) == (429, True)
    assert (health.status, text) == (200, "Yes, I'm ok")
    assert for_load_balancers.status == 200


@pytest.mark.alone
async def test_an_engine_that_falls_behind_holds_the_client_back_in_flat_memory() -> None:
    """2 s per second of audio: of 400 s that are sent, little is read, and the lag is reported."""
    model = json.dumps({"constant_factor": 2.0})
    async with running_service(scripted=model) as service, speaker(service.url) as talk:
        before = psutil.Process(service.process.pid).memory_info().rss
        flooding = asyncio.create_task(send_audio(talk, 400))
        acks: list[Ack] = []
        async with asyncio.timeout(15):
            async for message in talk:
                if isinstance(message, Ack):
                    acks.append(message)
                    if len(acks) == 3:
                        break
        assert not flooding.done(), "the client was not held back"
        flooding.cancel()
        grown = psutil.Process(service.process.pid).memory_info().rss - before
        service.process.kill()  # to end in order, it would have to recognise what it took

    # 5 s are the recognition's bound; on top comes what one read of the socket had brought.
    assert 3 < acks[-1].lag < 10
    assert acks[-1].received < 15
    assert grown < 8 * 1024 * 1024


async def test_a_viewer_who_never_reads_is_closed_and_nobody_else_notices(
    service: RunningService,
) -> None:
    conversation = uuid4().hex
    deaf = await open_raw(service.url, f"/api/stt/connect?conversationId={conversation}")
    seen: list[Message] = []
    async with (
        viewer(service.url, conversation) as watching,
        speaker(service.url, conversation) as talk,
    ):
        reading = asyncio.create_task(take_everything(talk))
        await anext(aiter(watching))
        for _ in range(25):  # 3 MB of captions, in steps that an attentive viewer can follow
            await send_audio(talk, 80)
            seen += await take(aiter(watching), until_final=25)
        await talk.stop()
        spoken = await reading
        refused = await metric(service.url, 'cloudscribe_refusals_total{code="slow_consumer"}')
    deaf.close()

    assert results(seen) == results(spoken)
    assert refused == 1


async def test_viewers_who_never_read_share_what_they_may_leave_unread() -> None:
    conversation = uuid4().hex
    async with running_service(max_unread_mib=1) as service:
        path = f"/api/stt/connect?conversationId={conversation}"
        deaf = [await open_raw(service.url, path) for _ in range(10)]
        seen: list[Message] = []
        async with (
            viewer(service.url, conversation) as watching,
            speaker(service.url, conversation) as talk,
        ):
            reading = asyncio.create_task(take_everything(talk))
            await anext(aiter(watching))
            # Finals take less than each might leave unread by itself; of partials, few wait.
            for _ in range(12):
                await send_audio(talk, 80)
                seen += await take(aiter(watching), until_final=25)
            await talk.stop()
            spoken = await reading
            refused = await metric(service.url, 'cloudscribe_refusals_total{code="slow_consumer"}')
        for each in deaf:
            each.close()

    assert results(seen) == results(spoken)
    assert refused > 3


@pytest.mark.alone  # the kernel decides when a viewer is gone; it takes longer on a busy machine
async def test_a_viewer_who_takes_nothing_gives_up_its_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(viewer_connection, "UNREAD_SECONDS", 1.0)
    conversation = uuid4().hex
    async with service_in_process(Settings(engine="scripted")) as url:
        with await open_raw(url, f"/api/stt/connect?conversationId={conversation}"):
            async with speaker(url, conversation) as talk:
                await send_audio(talk, 10)
                await talk.stop()
                await take_everything(talk)
            assert await metric(url, "cloudscribe_viewers") == 1

            async def is_gone() -> bool:
                return await metric(url, "cloudscribe_viewers") == 0

            await eventually(is_gone, "the slot is free")


async def take_everything(messages: AsyncIterable[Message]) -> list[Message]:
    taken: list[Message] = []
    await collect(messages, into=taken)
    return taken


async def open_raw(url: str, path: str) -> socket.socket:
    """Open a WebSocket of which nothing will ever be read."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (host, int(port)))
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await loop.sock_sendall(connection, request.encode())
    await loop.sock_recv(connection, 12)
    return connection


async def metric(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith(name):
                return float(line.rsplit(" ", 1)[1])
    return 0.0


async def test_an_engine_that_keeps_failing_loses_and_doubles_nothing() -> None:
    model = json.dumps({"panic_rate": 0.01, "failure_rate": 0.01, "seed": 3})
    async with running_service(scripted=model) as service:
        spoken = await speak(service.url, None, 40.0)
        failures = service.logged("engine_session_failed")

    times = [word.start_time for m in spoken if isinstance(m, Final) for word in m.words]
    assert times == pytest.approx([0.4 * n for n in range(100)])
    assert failures, "nothing failed, so nothing was shown"


async def test_an_engine_that_fails_for_good_is_named() -> None:
    model = json.dumps({"panic_rate": 1.0})
    async with running_service(scripted=model) as service:
        with pytest.raises(Refused) as refusal:
            await speak(service.url, None, 1.0)

    assert refusal.value.code is ErrorCode.ENGINE_FAILED


async def test_a_stream_ends_at_the_operators_limit() -> None:
    async with running_service(max_stream_seconds=2) as service, speaker(service.url) as talk:
        sending = asyncio.create_task(send_audio(talk, 5.0))
        messages = [message async for message in talk]
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    closed = messages[-1]
    assert isinstance(closed, Closed)
    assert closed.reason == "max_duration"
    assert closed.duration == pytest.approx(2.0)


async def test_sigterm_in_mid_stream_finishes_the_utterance_and_exits_cleanly() -> None:
    conversation = uuid4().hex
    async with running_service() as service:
        async with (
            viewer(service.url, conversation) as watching,
            speaker(service.url, conversation) as talk,
        ):
            await anext(aiter(watching))
            await send_audio(talk, 1.0)
            await take_partials(talk, 2)
            service.process.send_signal(signal.SIGTERM)
            spoken = [message async for message in talk]
            seen: list[Message] = []
            with pytest.raises(ConnectionLost, match="shutting down"):
                await collect(watching, into=seen)
        code = await service.terminate()

    closed = spoken[-1]
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.finals) == ("draining", 1)
    assert [len(m.words) for m in seen if isinstance(m, Final)] == [2]
    assert code == 0


async def collect(messages: AsyncIterable[Message], into: list[Message]) -> None:
    async for message in messages:
        into.append(message)  # noqa: PERF401 - what came before an error is wanted, too


async def take_partials(talk: Speaker, count: int) -> None:
    async for message in talk:
        count -= isinstance(message, Partial)
        if not count:
            return


async def test_a_silent_microphone_is_closed_after_the_idle_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_connection, "IDLE_SECONDS", 0.2)
    async with service_in_process(Settings(engine="scripted")) as url, speaker(url) as talk:
        await send_audio(talk, 0.5)
        with pytest.raises(Refused) as refusal:
            async for _ in talk:
                pass

    assert refusal.value.code is ErrorCode.IDLE_TIMEOUT


async def test_a_viewer_gets_heartbeats_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "HEARTBEAT_SECONDS", 0.05)
    async with service_in_process(Settings(engine="scripted")) as url, viewer(url, "c") as watching:
        messages = aiter(watching)
        kinds = [type(await anext(messages)) for _ in range(3)]

    assert kinds == [Snapshot, Heartbeat, Heartbeat]


async def test_snapshot_mode_repeats_the_last_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer_connection, "HEARTBEAT_SECONDS", 0.05)
    async with (
        service_in_process(Settings(engine="scripted")) as url,
        viewer(url, "c", mode="snapshot") as watching,
        asyncio.timeout(5),
    ):
        messages = aiter(watching)
        first = await anext(messages)
        await speak(url, "c", 3.2)
        later = first
        while isinstance(later, Snapshot) and not later.utterances:
            later = await anext(messages)

    assert isinstance(first, Snapshot)
    assert isinstance(later, Snapshot)
    assert (len(first.utterances), len(later.utterances)) == (0, 1)
