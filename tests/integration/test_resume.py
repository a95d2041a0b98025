"""Speakers resume over real sockets and a real table: cuts, `kill -9` with the disk, a drain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from speech.engines.scripted import ScriptedModel
from speech.pcm import SAMPLE_RATE
from tests.support.cloud import Cloud
from tests.support.eventually import eventually
from tests.support.service import RunningService, running_service
from tests.support.utterances import conversation
from transcripts.models import Utterance

pytestmark = pytest.mark.integration

MODEL = ScriptedModel(word_seconds=0.1, words_per_segment=4)
SCRIPT = MODEL.list_words()


def settings(cloud: Cloud, disk: Path) -> dict[str, Any]:
    return cloud.environment | {
        "queue_url": cloud.resources.queue_url,
        "table_name": cloud.resources.table_name,
        "streams_table": cloud.resources.streams_table,
        "outbox_path": disk / "outbox.sqlite",
        "scripted": json.dumps({"word_seconds": 0.1, "words_per_segment": 4}),
        "updates_seconds": 0.5,
    }


@dataclass
class ResumingSpeaker:
    """A speaker who sends the same silence again from wherever the service wants it."""

    client: aiohttp.ClientSession
    conversation_id: str
    sample_rate: int = SAMPLE_RATE
    channels: int = 1
    token: str | None = None
    attempt: int = 0
    at: int = 0
    durable: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    socket: aiohttp.ClientWebSocketResponse = field(init=False)

    async def connect(self, service: RunningService, token: str | None = None) -> dict[str, Any]:
        """Begin or resume; return the first message."""
        query = {
            "conversationId": self.conversation_id,
            "sampleRate": self.sample_rate,
            "channels": self.channels,
            "resume": 1,
            "attempt": self.attempt,
        }
        self.attempt += 1
        token = token or self.token
        self.socket = await self.client.ws_connect(
            f"{service.url}/api/stt/transcribe",
            params={name: str(value) for name, value in query.items()},
            protocols=["cloudscribe.v1", *([f"resume.{token}"] if token else [])],
        )
        first = await self.receive()
        if first["type"] == "ready":
            self.token, self.at = first["resumeToken"], first["resumeFrom"]
            assert self.at >= self.durable, "what is durable is not asked for again"
            await self.socket.send_json({"type": "continue", "sample": self.at, "age": 0.0})
        return first

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            message: dict[str, Any] = await self.socket.receive_json()
        if message["type"] == "ack":
            self.durable = max(self.durable, message["durable"])
        self.messages.append(message)
        return message

    async def until(self, kind: str) -> dict[str, Any]:
        while (message := await self.receive())["type"] != kind:
            pass
        return message

    async def speak_to(self, seconds: float) -> None:
        """Send up to a place of the stream."""
        end = round(seconds * self.sample_rate)
        while self.at < end:
            piece = min(self.sample_rate // 10, end - self.at)
            await self.socket.send_bytes(bytes(2 * self.channels * piece))
            self.at += piece

    async def stop(self) -> dict[str, Any]:
        await self.socket.send_json({"type": "stop"})
        return await self.until("closed")


@contextlib.asynccontextmanager
async def speaking(
    conversation_id: str, *, sample_rate: int = SAMPLE_RATE, channels: int = 1
) -> AsyncIterator[ResumingSpeaker]:
    async with aiohttp.ClientSession() as client:
        yield ResumingSpeaker(client, conversation_id, sample_rate, channels)


def words_of(utterances: list[Utterance]) -> list[tuple[int, str]]:
    return sorted(
        (round(word.start_time * SAMPLE_RATE), word.word)
        for utterance in utterances
        for word in utterance.words
    )


def spoken(seconds: float) -> list[tuple[int, str]]:
    return [
        (number * SAMPLE_RATE // 10, SCRIPT[number % len(SCRIPT)])
        for number in range(round(seconds * 10))
    ]


async def all_words(cloud: Cloud, conversation_id: str, seconds: float) -> list[Utterance]:
    """Wait until as many words are stored as were spoken; return their utterances."""

    async def look() -> list[Utterance]:
        moment = datetime.now(UTC) - timedelta(minutes=10)
        found = await asyncio.to_thread(cloud.table.since, conversation_id, moment)
        return found if len(words_of(found)) >= round(seconds * 10) else []

    return await eventually(look, f"{seconds} seconds are stored", within=40)


async def test_a_cut_speaker_goes_on_where_the_service_has_got_to(
    cloud: Cloud, tmp_path: Path
) -> None:
    room = conversation()
    async with running_service(**settings(cloud, tmp_path)) as service, speaking(room) as ada:
        await ada.connect(service)
        await ada.speak_to(2.35)
        await ada.until("final")
        await ada.socket.close()
        ready = await ada.connect(service)
        assert ready["resumeFrom"] == round(2.35 * SAMPLE_RATE)
        await ada.speak_to(6)
        closed = await ada.stop()

        stored = await all_words(cloud, room, 6)

    assert (closed["reason"], closed["duration"], closed["finals"]) == ("stopped", 6.0, 15)
    assert words_of(stored) == spoken(6)
    assert [one.number for one in stored] == list(range(1, 16))


@pytest.mark.parametrize(("sample_rate", "channels"), [(16_000, 1), (44_100, 2)])
async def test_a_task_that_is_killed_with_its_disk_loses_and_doubles_nothing(
    cloud: Cloud, tmp_path: Path, sample_rate: int, channels: int
) -> None:
    room = conversation()
    async with (
        running_service(**settings(cloud, tmp_path / "one")) as first,
        running_service(**settings(cloud, tmp_path / "two")) as second,
        speaking(room, sample_rate=sample_rate, channels=channels) as ada,
        aiohttp.ClientSession() as client,
        client.ws_connect(
            f"{second.url}/api/stt/connect", params={"conversationId": room}
        ) as viewer,
    ):
        await ada.connect(first)
        await ada.speak_to(5.05)
        await ada.until("final")
        first.process.send_signal(signal.SIGKILL)
        (tmp_path / "one" / "outbox.sqlite").unlink()
        with contextlib.suppress(TypeError, ConnectionError):
            while True:
                await ada.receive()
        ready = await ada.connect(second)
        assert ready["resumeFrom"] < 5.05 * sample_rate
        await ada.speak_to(10)
        await ada.stop()
        shown: list[str] = []
        async with asyncio.timeout(20):
            while len(shown) < 25:
                message = await viewer.receive_json()
                if message["type"] == "final":
                    shown.append(message["utteranceId"])

        stored = await all_words(cloud, room, 10)

    assert words_of(stored) == spoken(10)
    assert [one.number for one in stored] == list(range(1, 26))
    assert sorted(shown) == sorted(one.utterance_id for one in stored)
    own = {message["utteranceId"] for message in ada.messages if message["type"] == "final"}
    assert own == {one.utterance_id for one in stored}, "the speaker got all, some from both"


async def test_a_drain_sends_the_speaker_elsewhere_at_once(cloud: Cloud, tmp_path: Path) -> None:
    room = conversation()
    async with (
        running_service(**settings(cloud, tmp_path / "one")) as first,
        running_service(**settings(cloud, tmp_path / "two")) as second,
        speaking(room) as ada,
    ):
        await ada.connect(first)
        await ada.speak_to(2.05)
        await ada.until("final")
        ending = asyncio.create_task(first.terminate())
        error = await ada.until("error")
        assert (error["code"], error["retryable"]) == ("draining", True)
        await ada.socket.receive()
        assert ada.socket.close_code == 4503
        assert await ending == 0
        await ada.connect(second)
        await ada.speak_to(4)
        await ada.stop()

        stored = await all_words(cloud, room, 4)

    assert words_of(stored) == spoken(4)


async def test_a_newer_connection_takes_the_stream_from_the_older_one(
    cloud: Cloud, tmp_path: Path
) -> None:
    room = conversation()
    async with running_service(**settings(cloud, tmp_path)) as service, speaking(room) as ada:
        await ada.connect(service)
        await ada.speak_to(1)
        old = ada.socket
        await ada.until("final")
        await ada.connect(service)
        async with asyncio.timeout(5):
            while (message := await old.receive_json())["type"] != "error":
                pass
            await old.receive()
        assert (message["code"], message["retryable"], old.close_code) == ("moved", True, 4410)
        ada.attempt = 1
        late = await ada.connect(service)
        assert (late["type"], late["code"]) == ("error", "moved")


@pytest.mark.parametrize("token", ["csr_" + "a" * 26 + "_" + "a" * 26, "nonsense", "csr_"])
async def test_whoever_guesses_a_token_is_refused_in_one_word(
    cloud: Cloud, tmp_path: Path, token: str
) -> None:
    async with running_service(**settings(cloud, tmp_path)) as service, speaking("talk") as eve:
        refused = await eve.connect(service, token)
        await eve.socket.receive()

    assert (refused["code"], eve.socket.close_code) == ("resume_refused", 4404)


async def test_a_stream_that_is_over_is_answered_with_closed(cloud: Cloud, tmp_path: Path) -> None:
    room = conversation()
    async with running_service(**settings(cloud, tmp_path)) as service, speaking(room) as ada:
        await ada.connect(service)
        await ada.speak_to(1)
        await ada.stop()
        again = await ada.connect(service)

    assert (again["type"], again["duration"], again["finals"]) == ("closed", 1.0, 3)


async def test_audio_before_continue_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    async with (
        running_service(**settings(cloud, tmp_path)) as service,
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{service.url}/api/stt/transcribe?sampleRate=16000&resume=1") as socket,
    ):
        assert (await socket.receive_json())["type"] == "ready"
        await socket.send_bytes(bytes(3_200))
        assert (await socket.receive_json())["code"] == "unexpected_message"


async def test_a_service_without_a_ledger_serves_clients_that_would_resume() -> None:
    async with (
        running_service() as service,
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{service.url}/api/stt/transcribe?sampleRate=16000&resume=1") as socket,
    ):
        ready = await socket.receive_json()
        await socket.send_bytes(bytes(3_200))
        await socket.send_json({"type": "stop"})
        while (message := await socket.receive_json())["type"] != "closed":
            pass

    assert "resumeToken" not in ready
    assert message["reason"] == "stopped"
