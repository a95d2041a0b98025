"""The client against the real service with a ledger, over a line that breaks all the time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from access.callers import Person
from access.decisions import Action
from client.errors import ClientError, ExitCode, NoConnection, Refused
from client.live import connection
from client.live.connection import Received, Speaker, TicketSource, no_ticket
from client.live.missed import Found, fetch_finals
from client.live.recording import Pace
from client.live.recovery import Attempt
from client.live.resuming import ResumingStream
from ecs_service import app
from ecs_service.access import watcher
from ecs_service.settings import Settings
from speech.engines.scripted import ScriptedModel
from speech.pcm import PcmFormat
from tests.support.access import CONVERSATION, record
from tests.support.access_table import MemoryTable
from tests.support.eventually import eventually
from tests.support.flaky_link import FlakyLink, flaky_link
from tests.support.service import ANY_NUMBER, ROOT, service_in_process
from tests.support.tables import streams_table_definition, table_definition
from transcripts.models import Utterance
from transcripts.protocol import DEAD_SECONDS, Closed, ErrorCode, Final, TranscribeParameters

pytestmark = pytest.mark.integration

MONO = PcmFormat(16_000)
MODEL = ScriptedModel(word_seconds=0.1, words_per_segment=4)
SCRIPT = MODEL.list_words()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings of a service with a queue, a table and a ledger in this process."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(**table_definition("conversations"))
        dynamodb.create_table(**streams_table_definition("streams"))
        queue = boto3.client("sqs").create_queue(QueueName="finals")
        yield Settings(
            engine="scripted",
            scripted=MODEL,
            queue_url=queue["QueueUrl"],
            table_name="conversations",
            streams_table="streams",
            **ANY_NUMBER,  # type: ignore[arg-type]  # settings of other names
        )


@dataclass
class Seen:
    """What the user of a stream sees."""

    finals: list[Final | Utterance] = field(default_factory=list)
    retries: list[ClientError] = field(default_factory=list)
    lost: float = 0.0
    missing: int = 0
    new_streams: int = 0

    def on_message(self, received: Received) -> None:
        if isinstance(received.message, Final):
            self.finals.append(received.message)

    def on_found(self, utterance: Utterance) -> None:
        self.finals.append(utterance)

    def on_retry(self, error: ClientError, delay: float, kept: float) -> None:
        del delay, kept
        self.retries.append(error)

    def on_lost(self, seconds: float) -> None:
        self.lost += seconds

    def on_new_stream(self, seconds: float) -> None:
        del seconds
        self.new_streams += 1

    def on_missing(self, finals: int) -> None:
        self.missing += finals

    @property
    def words(self) -> list[str]:
        """The words of all finals, in the order in which they were spoken."""
        in_order = sorted(self.finals, key=lambda final: final.start_time)
        return [word for final in in_order for word in final.text.split()]


def spoken(seconds: float) -> list[str]:
    count = round(seconds / MODEL.word_seconds)
    return [SCRIPT[number % len(SCRIPT)] for number in range(count)]


async def silence(audio: PcmFormat, seconds: float, pace: Pace) -> AsyncGenerator[bytes, None]:
    for _ in range(round(seconds * 10)):
        if pace is Pace.LIVE:
            await asyncio.sleep(0.1)
        yield bytes(audio.bytes_per_second // 10)


def stream_over(
    url: str,
    seen: Seen,
    seconds: float,
    *,
    pace: Pace = Pace.REAL_TIME,
    audio: PcmFormat = MONO,
    speak: TicketSource = no_ticket,
    read: TicketSource = no_ticket,
) -> ResumingStream:
    parameters = TranscribeParameters(
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        conversation_id=CONVERSATION,
        resume=True,
    )

    def connect(attempt: Attempt) -> Speaker:
        wanted = parameters.model_copy(update={"attempt": attempt.number})
        ticket = speak if attempt.with_ticket else no_ticket
        return Speaker(url, wanted, resume_token=attempt.token, ticket=ticket)

    async def fetch(conversation: str, since: str | None) -> Found:
        return await fetch_finals(url, conversation, since, read)

    frames = silence(audio, seconds, pace)
    return ResumingStream(connect, frames, seen, audio=audio, pace=pace, fetch=fetch)


@contextlib.asynccontextmanager
async def breaking(link: FlakyLink) -> AsyncIterator[None]:
    """Break the line again and again: it is cut after a second, or falls silent both ways."""

    async def disturb() -> None:
        while True:
            for _ in range(3):
                await asyncio.sleep(1.0)
                link.abort()
            await asyncio.sleep(1.0)
            link.silence()
            await asyncio.sleep(DEAD_SECONDS)  # until the client notices

    disturbing = asyncio.create_task(disturb())
    try:
        yield
    finally:
        disturbing.cancel()
        await asyncio.gather(disturbing, return_exceptions=True)


@pytest.mark.parametrize(
    ("pace", "audio"),
    [(Pace.REAL_TIME, MONO), (Pace.LIVE, PcmFormat(44_100, 2))],
)
async def test_a_line_that_breaks_every_second_loses_no_word_and_repeats_none(
    settings: Settings, pace: Pace, audio: PcmFormat
) -> None:
    seen = Seen()
    async with service_in_process(settings) as url, flaky_link(url) as link:
        stream = stream_over(link.url, seen, 8.0, pace=pace, audio=audio)
        async with asyncio.timeout(60), breaking(link):
            closed = await stream.run()

    assert closed.reason == "stopped"
    assert seen.words == spoken(8.0)
    assert len({final.utterance_id for final in seen.finals}) == len(seen.finals)
    assert (seen.missing, seen.lost, seen.new_streams) == (0, 0.0, 0)
    assert stream.unrecognised == 0
    reasons = [str(error) for error in seen.retries]
    assert len(reasons) >= 4
    assert any("nothing was received for 3 s" in reason for reason in reasons)


async def test_the_command_prints_every_word_over_a_line_that_breaks_every_second(
    settings: Settings, tmp_path: Path
) -> None:
    recording = tmp_path / "recording.wav"
    with wave.open(str(recording), "wb") as audio:
        audio.setparams((1, 2, 16_000, 0, "NONE", ""))
        audio.writeframes(bytes(2 * 16_000 * 5))
    async with service_in_process(settings) as url, flaky_link(url) as link, breaking(link):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "client", "stream", str(recording), "--url", link.url),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == ExitCode.OK
    assert sorted(out.decode().split()) == sorted(spoken(5.0))
    assert b"connecting again" in err
    assert b"s of audio kept" in err


async def test_a_stream_goes_on_at_another_task(settings: Settings) -> None:
    seen = Seen()
    async with (
        service_in_process(settings) as first,
        service_in_process(settings) as second,
        flaky_link(first) as link,
    ):
        stream = stream_over(link.url, seen, 4.0)
        running = asyncio.create_task(stream.run())
        await eventually(lambda: bool(seen.finals), "it is recognised")
        link.target = second
        link.abort()
        closed = await asyncio.wait_for(running, 60)

    assert isinstance(closed, Closed)
    assert seen.words == spoken(4.0)
    assert seen.new_streams == 0


async def test_a_stream_that_nobody_knows_any_more_goes_on_as_a_new_one(
    settings: Settings,
) -> None:
    seen = Seen()
    async with service_in_process(settings) as url, flaky_link(url) as link:
        stream = stream_over(link.url, seen, 3.0)
        running = asyncio.create_task(stream.run())
        await eventually(lambda: bool(seen.finals), "it is recognised")
        stream._attempt = Attempt(1, f"csr_{'a' * 26}_{'b' * 26}", CONVERSATION, with_ticket=False)
        link.abort()
        closed = await asyncio.wait_for(running, 60)

    assert closed.reason == "stopped"
    assert seen.new_streams == 1
    assert any(
        isinstance(error, Refused) and error.code == ErrorCode.RESUME_REFUSED
        for error in seen.retries
    )
    assert stream.unrecognised == 0


ADA = Person("ada")


async def test_a_token_resumes_without_a_ticket_until_the_right_is_taken_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = MemoryTable()
    table.put(record())
    monkeypatch.setattr(watcher, "WATCH_SECONDS", 0.3)
    monkeypatch.setattr(app, "AccessTable", lambda _name, _client: table)
    tickets: list[str] = []

    async def speak(refused: str | None = None) -> str:
        assert refused is None
        tickets.append(table.ticket(ADA, Action.SPEAK))
        return tickets[-1]

    async def read(refused: str | None = None) -> str:
        assert refused is None
        return table.ticket(ADA, Action.READ)

    seen = Seen()
    with_accounts = settings.model_copy(update={"access_table": "access"})
    async with service_in_process(with_accounts) as url, flaky_link(url) as link:
        await eventually(lambda: bool(table.count("keys")), "the keys are read")
        stream = stream_over(link.url, seen, 60.0, speak=speak, read=read)
        running = asyncio.create_task(stream.run())
        for count in (1, 2, 3):
            await eventually(lambda: len(seen.finals) > len(seen.retries), "it is recognised")
            link.abort()
            await eventually(lambda count=count: len(seen.retries) == count, "the line broke")  # type: ignore[misc]  # bound now
            before = len(seen.finals)
            await eventually(lambda before=before: len(seen.finals) > before, "it goes on")  # type: ignore[misc]  # bound now
        assert len(tickets) == 1
        table.put(record(owner="sam"))
        with pytest.raises(Refused) as caught:
            await asyncio.wait_for(running, 60)

    assert caught.value.code == ErrorCode.ACCESS_REVOKED
    assert seen.words == spoken(len(seen.words) * MODEL.word_seconds)


async def test_a_handshake_that_nobody_answers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(NoConnection, match="does not answer within"):
            async with Speaker(url, TranscribeParameters(sample_rate=16_000)):
                pass
