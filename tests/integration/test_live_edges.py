"""The odd ends of the live protocol: clients at the wrong moment, and what a shutdown meets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.support.eventually import eventually
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame, handshake
from tests.support.service import ROOT, RunningService, running_service

pytestmark = pytest.mark.integration

CHUNK = bytes(3_200)  # 100 ms at 16 kHz
SPEAK = "/api/stt/transcribe?sampleRate=16000"
STOP = '{"type":"stop"}'

#: Settings of a service whose queue and table refuse every connection.
QUEUE_AWAY = {
    "queue_url": "http://127.0.0.1:1/q",
    "table_name": "t",
    "aws_endpoint_url": "http://127.0.0.1:1",
    "aws_default_region": "eu-west-1",
    "aws_access_key_id": "x",
    "aws_secret_access_key": "x",
}


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[RunningService]:
    async with running_service() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def exchange(url: str, *pieces: bytes) -> bytes:
    """Send bytes and return all that is answered before the server closes."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"".join(pieces))
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def speak(
    http: aiohttp.ClientSession, url: str, *frames: bytes | str, query: str = ""
) -> list[dict[str, Any]]:
    """Send frames as a speaker; return every message."""
    async with http.ws_connect(f"{url}{SPEAK}{query}", max_msg_size=0) as socket:
        for each in frames:
            if isinstance(each, str):
                await socket.send_str(each)
            else:
                await socket.send_bytes(each)
        async with asyncio.timeout(20):
            return [json.loads(message.data) async for message in socket]


def defects(service: RunningService) -> list[dict[str, Any]]:
    return service.logged("message_failed") + service.logged("connection_failed")


async def test_what_follows_a_stop_is_ignored(
    service: RunningService, http: aiohttp.ClientSession
) -> None:
    messages = await speak(http, service.url, *[CHUNK] * 5, STOP, STOP, *[CHUNK] * 5)

    assert [m["type"] for m in messages] == ["ready", "partial", "final", "ack", "closed"]
    assert messages[-1]["duration"] == pytest.approx(0.5)


async def test_a_message_may_come_in_pieces_with_a_ping_in_between(
    service: RunningService,
) -> None:
    answer = await in_steps(
        service.url,
        handshake(SPEAK.encode()),
        frame(BINARY, bytes(1_600), fin=False)
        + frame(PING, b"beat")
        + frame(CONTINUATION, bytes(1_600))
        + frame(TEXT, STOP.encode()),
    )

    assert b"beat" in answer
    assert b'"duration":0.1' in answer


async def in_steps(url: str, request: bytes, frames: bytes) -> bytes:
    """As `exchange`, but wait for the answer to the handshake before the frames."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frames)
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("target", [b"/\xff", b"//[x"])
async def test_a_target_that_is_none_is_a_bad_request(
    service: RunningService, target: bytes
) -> None:
    assert b" 400 " in await exchange(service.url, handshake(target))


@pytest.mark.parametrize("connection", [b"keep-alive, Upgrade", b"upgrade,keep-alive", b"UPGRADE"])
async def test_a_browser_may_ask_for_more_than_the_upgrade(
    service: RunningService, connection: bytes
) -> None:
    """Firefox does, and RFC 6455 (section 4.2.1) asks for a token among others."""
    target = b"/api/stt/transcribe?sampleRate=16000&conversationId=c"
    stop = frame(1, b'{"type":"stop"}')

    answer = await exchange(service.url, handshake(target, connection), stop)

    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b'"type":"closed"' in answer


@pytest.mark.parametrize("endpoint", [SPEAK, "/api/stt/connect?conversationId=c"])
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT | 0x40, b"{}"), 1002),
        (frame(PING | 0x10, b""), 1002),
        (frame(CONTINUATION, CHUNK), 1002),
        (frame(BINARY, CHUNK, fin=False) + frame(TEXT, STOP.encode()), 1002),
        (b"\x82\x02ab", 1002),
        (b"\x88\x00", 1002),
        (frame(CLOSE, (1005).to_bytes(2)), 1002),
    ],
    ids=["UTF-8", "bit", "bit of a ping", "no begin", "mixed", "no mask", "no mask at end", "code"],
)
async def test_what_is_no_websocket_is_closed_as_the_rfc_demands(
    service: RunningService, endpoint: str, frames: bytes, code: int
) -> None:
    answer = await in_steps(service.url, handshake(endpoint.encode()), frames)

    close = answer[answer.rindex(b"\x88") :]
    assert close[2:4] == code.to_bytes(2)
    assert b'"type":"error"' not in answer


@pytest.mark.parametrize("version", [None, b"8", b"7", b"12", b"x"])
async def test_another_version_of_websocket_gets_the_supported_one(
    service: RunningService, version: bytes | None
) -> None:
    answer = await exchange(service.url, handshake(SPEAK.encode(), version=version))

    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer


async def test_who_does_not_wait_for_ready_is_held_little_of(service: RunningService) -> None:
    answer = await exchange(service.url, handshake(SPEAK.encode()) + frame(BINARY, b"ab") * 200)

    assert b'"code":"unexpected_message"' in answer


async def test_speakers_of_one_conversation_are_numbered_in_one_row(
    service: RunningService, http: aiohttp.ClientSession
) -> None:
    watch = f"{service.url}/api/stt/connect?conversationId=together"
    viewers = [await http.ws_connect(watch) for _ in range(10)]
    for each in viewers:
        await each.receive()

    received = await asyncio.gather(
        *[
            speak(http, service.url, *[CHUNK] * 40, STOP, query="&conversationId=together")
            for _ in range(3)
        ]
    )
    count = sum("seq" in message for messages in received for message in messages)
    seen = [[json.loads((await v.receive()).data)["seq"] for _ in range(count)] for v in viewers]

    assert seen == [list(range(1, count + 1))] * len(viewers)


async def test_a_refused_speaker_who_goes_on_talking_is_no_defect(
    http: aiohttp.ClientSession,
) -> None:
    async with running_service(slots=1) as full, http.ws_connect(f"{full.url}{SPEAK}") as first:
        await first.receive()
        messages = await speak(http, full.url, *[CHUNK] * 5)

    assert messages[-1]["code"] == "at_capacity"
    assert defects(full) == []


async def test_audio_that_does_not_wait_for_the_handshake_is_no_defect(
    service: RunningService,
) -> None:
    answer = await exchange(
        service.url,
        handshake(SPEAK.encode()),
        frame(BINARY, CHUNK),
        frame(TEXT, STOP.encode()),
    )

    assert b'"code":"internal"' not in answer
    assert defects(service) == []


async def test_start_is_taken_once(service: RunningService, http: aiohttp.ClientSession) -> None:
    messages = await speak(http, service.url, '{"type":"start"}', '{"type":"start"}', CHUNK, STOP)

    assert messages[-1].get("code") == "unexpected_message"


@pytest.mark.parametrize(
    "control", [{"type": "x" * 50_000}, {"type": "stop", "x" * 50_000: 1}], ids=["type", "field"]
)
async def test_an_error_does_not_repeat_what_was_sent(
    service: RunningService, http: aiohttp.ClientSession, control: dict[str, Any]
) -> None:
    messages = await speak(http, service.url, json.dumps(control))

    assert len(messages[-1]["message"]) < 1_000


async def test_a_final_is_dated_by_the_clock_also_after_a_pause(
    service: RunningService, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(f"{service.url}{SPEAK}") as socket:
        await socket.send_bytes(CHUNK)
        await asyncio.sleep(2)  # the pause itself is what is tested
        before = datetime.now(UTC)
        for _ in range(7):
            await socket.send_bytes(CHUNK)
        await socket.send_str(STOP)
        messages = [json.loads(message.data) async for message in socket]

    final = next(m for m in messages if m["type"] == "final")
    began = datetime.fromisoformat(final["timestamp"])
    assert abs(began + timedelta(seconds=final["startTime"]) - before) < timedelta(seconds=1)


async def test_a_late_viewer_of_a_long_recording_is_admitted(
    service: RunningService, http: aiohttp.ClientSession
) -> None:
    """Two hours of audio in a second: the snapshot is of the last two minutes, not of them all."""
    async with http.ws_connect(f"{service.url}{SPEAK}&conversationId=long") as socket:
        reading = asyncio.create_task(drained(socket))
        for _ in range(2 * 60 * 60):
            await socket.send_bytes(bytes(32_000))
        await socket.send_str(STOP)
        await reading
    watch = f"{service.url}/api/stt/connect?conversationId=long"
    async with http.ws_connect(watch, max_msg_size=0) as viewer:
        first = json.loads((await viewer.receive()).data)
        await viewer.ping()
        with pytest.raises(TimeoutError):  # nothing follows, above all no error
            await viewer.receive(timeout=1)

    assert first["type"] == "snapshot"


async def drained(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def test_acks_go_on_while_the_words_before_a_stop_are_recognised(
    http: aiohttp.ClientSession,
) -> None:
    """An engine that needs 3 s for what waits: a client without acks would take it for dead."""
    async with running_service(scripted=json.dumps({"constant_factor": 1.0})) as slow:
        messages = await speak(http, slow.url, *[CHUNK] * 35, STOP)

    assert [m["type"] for m in messages].count("ack") >= 3


async def test_a_client_that_comes_during_a_drain_is_refused_as_such(
    http: aiohttp.ClientSession,
) -> None:
    """The queue is away, so the drain takes its whole time; the viewers were let go before."""
    async with running_service(**QUEUE_AWAY, drain_seconds=4) as service:
        await speak(http, service.url, *[CHUNK] * 5, STOP)
        service.process.send_signal(signal.SIGTERM)
        await eventually(lambda: service.logged("draining"), "it drains")
        await asyncio.sleep(0.5)  # nobody announces that the viewers were let go
        async with http.ws_connect(f"{service.url}/api/stt/connect?conversationId=c") as viewer:
            async for _ in viewer:
                pass

    assert viewer.close_code in {4503, 1001}


async def test_finals_that_a_shutdown_could_not_keep_are_no_success(
    http: aiohttp.ClientSession,
) -> None:
    """Without a file the journal ends with the process, and a final in it is lost."""
    async with running_service(**QUEUE_AWAY, drain_seconds=1) as service:
        await speak(http, service.url, *[CHUNK] * 5, STOP)
        code = await service.terminate()

    assert code != 0


async def test_an_engine_that_hangs_does_not_keep_viewers_from_a_proper_close(
    http: aiohttp.ClientSession,
) -> None:
    async with (
        running_service(scripted=json.dumps({"delay": 1000.0}), drain_seconds=2) as hung,
        http.ws_connect(f"{hung.url}/api/stt/connect?conversationId=c") as viewer,
    ):
        await viewer.receive()
        async with http.ws_connect(f"{hung.url}{SPEAK}") as talk:
            await talk.receive()
            await talk.send_bytes(CHUNK)
            hung.process.send_signal(signal.SIGTERM)
            async for _ in viewer:
                pass

    assert viewer.close_code == 1001


async def test_a_text_that_cannot_be_a_final_is_not_logged(http: aiohttp.ClientSession) -> None:
    model = json.dumps({"script": ["CONFIDENTIAL" * 100], "words_per_segment": 20})
    async with running_service(scripted=model) as service:
        messages = await speak(http, service.url, *[CHUNK] * 85)
        logged = json.dumps(service.logs)

    assert messages[-1]["code"] == "internal"
    assert "CONFIDENTIAL" not in logged


@pytest.mark.parametrize(
    "environment",
    [
        {"SCRIPTED": "no json"},
        {"QUEUE_URL": "http://127.0.0.1:1/q", "TABLE_NAME": "t"},
        {
            "QUEUE_URL": "http://127.0.0.1:1/q",
            "TABLE_NAME": "t",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": "nonsense",
        },
    ],
    ids=["json", "region", "endpoint"],
)
async def test_a_setting_that_is_wrong_is_named_without_a_stack_trace(
    environment: dict[str, str],
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ecs_service",
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ENGINE": "scripted", "PORT": "0"} | environment,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        _, errors = await process.communicate()

    assert process.returncode in {1, 2}
    assert b"Traceback" not in errors
