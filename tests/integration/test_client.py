"""The command line against the real service."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import sys
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web
from yarl import URL

from client.errors import ConnectionLost, ExitCode, Refused
from client.live.connection import CLOSE_SECONDS, Speaker, Viewer
from tests.support.eventually import eventually
from tests.support.service import ROOT, RunningService, running_service
from transcripts.protocol import (
    Closed,
    ConnectParameters,
    ErrorCode,
    Final,
    Ready,
    Snapshot,
    TranscribeParameters,
    encode,
    server_message,
)
from translation.pseudo import pseudo

pytestmark = pytest.mark.integration

MONO = TranscribeParameters(sample_rate=16_000)
#: Three finals of the scripted engine: eight words of 0.4 s each, the last one cut short.
RECORDING_SECONDS = 7.0


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[RunningService]:
    async with running_service() as running:
        yield running


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return silence(tmp_path / "recording.wav", RECORDING_SECONDS)


def silence(path: Path, seconds: float, *, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as audio:
        audio.setnchannels(channels)
        audio.setsampwidth(2)
        audio.setframerate(8_000)
        audio.writeframes(bytes(2 * channels * round(8_000 * seconds)))
    return path


@asynccontextmanager
async def client(url: str, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "client",
        *map(str, arguments),
        cwd=ROOT,
        env={**os.environ, "CLOUDSCRIBE_URL": url, "PYTHONWARNINGS": "error"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(url: str, *arguments: object) -> tuple[int | None, list[str], str]:
    """Return the exit code, the lines of stdout, and stderr."""
    async with asyncio.timeout(30), client(url, *arguments) as process:
        out, err = await process.communicate()
        return process.returncode, out.decode().splitlines(), err.decode()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode()


async def snapshot_texts(url: str, conversation: str) -> list[str]:
    """Return the texts of the snapshot."""
    async with Viewer(url, ConnectParameters(conversation_id=conversation)) as viewer:
        snapshot = await anext(aiter(viewer))
        assert isinstance(snapshot, Snapshot)
        return [utterance.text for utterance in snapshot.utterances]


async def test_stream_prints_the_finals_that_viewers_see(
    service: RunningService, recording: Path
) -> None:
    code, lines, err = await run(
        service.url, "stream", recording, "--fast", "--conversation", "printed"
    )
    assert (code, err) == (ExitCode.OK, "")
    assert [len(line.split()) for line in lines] == [8, 8, 1]
    assert await snapshot_texts(service.url, "printed") == lines


async def test_stream_as_json_prints_the_messages_of_the_protocol(
    service: RunningService, recording: Path
) -> None:
    _, lines, _ = await run(
        service.url, "stream", recording, "--fast", "--json", "--interim-results"
    )
    messages = [server_message.validate_json(line) for line in lines]
    assert {message.type for message in messages} == {"partial", "final"}
    assert sum(isinstance(message, Final) for message in messages) == 3


@pytest.mark.alone
async def test_stream_in_real_time_takes_as_long_as_the_audio(
    service: RunningService, tmp_path: Path
) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    code, lines, _ = await run(service.url, "stream", silence(tmp_path / "short.wav", 1.7))
    assert code == ExitCode.OK
    assert lines
    assert 1.7 <= clock() - began < 6


def wav(frames: bytes) -> bytes:
    """Return a recording of 16 kHz."""
    target = io.BytesIO()
    with wave.open(target, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(16_000)
        audio.writeframes(frames)
    return target.getvalue()


@pytest.mark.parametrize("content", [b"", b"this is not audio", b"RIFF", wav(b""), None])
async def test_a_file_that_is_no_audio_exits_with_3(
    service: RunningService, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "not-audio.mp3"
    if content is not None:
        path.write_bytes(content)
    code, lines, err = await run(service.url, "stream", path)
    assert (code, lines) == (ExitCode.UNREADABLE, [])
    assert err.count(str(path)) == 1
    assert "Errno" not in err
    assert "Traceback" not in err


async def test_nobody_there_exits_with_4(recording: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    for arguments in (("stream", recording), ("watch", "standup")):
        code, _, err = await run(url, *arguments)
        assert code == ExitCode.NO_CONNECTION
        assert "does not answer" in err


async def test_a_full_service_exits_with_5_and_prints_when_to_retry(recording: Path) -> None:
    async with running_service(slots=1) as service, Speaker(service.url, MONO):
        code, lines, err = await run(service.url, "stream", recording)
        assert (code, lines) == (ExitCode.REFUSED, [])
        assert re.search(r"^at_capacity: .* Try again in [\d.]+ s\.$", err.strip())


async def test_a_stream_that_the_service_ends_early_exits_with_5_and_keeps_its_words(
    recording: Path,
) -> None:
    async with running_service(max_stream_seconds=2) as service:
        code, lines, err = await run(service.url, "stream", recording)
    assert code == ExitCode.REFUSED
    assert [len(line.split()) for line in lines] == [5]
    assert "max_duration" in err


async def test_a_stream_that_breaks_off_exits_with_6(recording: Path) -> None:
    async with (
        running_service() as service,
        client(service.url, "stream", recording, "--interim-results") as process,
    ):
        assert await line_of(process)
        service.process.kill()
        _, err = await process.communicate()
    assert process.returncode == ExitCode.CONNECTION_LOST
    assert b"Traceback" not in err


async def test_ctrl_c_waits_for_the_last_words(service: RunningService, recording: Path) -> None:
    arguments = ("stream", recording, "--conversation", "interrupted", "--interim-results")
    async with client(service.url, *arguments) as process:
        first = await line_of(process)
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    assert first.startswith("... ")
    last = out.decode().splitlines()[-1]
    assert await snapshot_texts(service.url, "interrupted") == [last]


async def test_ctrl_c_while_the_program_loads_shows_no_stack_trace(recording: Path) -> None:
    async with client("http://127.0.0.1:9", "stream", recording) as process:
        await eventually(
            partial(_has_loaded, process.pid, "aiohttp"),
            "it is in the middle of its imports",
            every=0.001,
        )
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode in (-signal.SIGINT, ExitCode.INTERRUPTED)
    assert err == b""


def _has_loaded(pid: int, package: str) -> bool:
    return package in Path(f"/proc/{pid}/maps").read_text()


async def test_a_second_ctrl_c_ends_at_once(recording: Path) -> None:
    slow = json.dumps({"delay": 5})  # seconds for each frame: the last words are far away
    async with (
        running_service(scripted=slow) as service,
        client(service.url, "stream", recording, "--fast") as process,
    ):
        assert process.stderr is not None
        while not await is_streamed_to(service):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert b"Waiting for the last words" in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(4):
            assert await process.wait() == ExitCode.INTERRUPTED
        service.process.kill()


async def is_streamed_to(service: RunningService) -> bool:
    """Return whether the service has an open stream."""
    async with aiohttp.ClientSession() as http, http.get(f"{service.url}/metrics") as answer:
        return "cloudscribe_open_streams 1.0" in await answer.text()


async def test_watch_survives_a_restart_of_the_service_without_doubling_a_final(
    recording: Path, unused_tcp_port: int
) -> None:
    port = unused_tcp_port
    arguments = ("--fast", "--conversation", "standup", "--speaker", "Ada")
    async with running_service(port=port) as service:
        watching = client(service.url, "watch", "standup")
        process = await watching.__aenter__()
        try:
            _, before, _ = await run(service.url, "stream", recording, *arguments)
            printed = [await line_of(process) for _ in before]
            await service.terminate()
            async with running_service(port=port) as restarted:
                _, after, _ = await run(restarted.url, "stream", recording, *arguments)
                printed += [await line_of(process) for _ in after]
                process.send_signal(signal.SIGINT)
                rest, err = await process.communicate()
        finally:
            await watching.__aexit__(None, None, None)
    assert [line.strip() for line in printed] == [f"Ada: {text}" for text in [*before, *after]]
    assert (rest, process.returncode) == (b"", ExitCode.INTERRUPTED)
    assert b"Connected to standup; nobody has spoken in the last two minutes." in err
    assert b"connecting again" in err
    assert b"Traceback" not in err


@pytest.fixture(scope="module")
async def translating() -> AsyncIterator[RunningService]:
    async with running_service(translator="pseudo", translate_languages="fr,en") as running:
        yield running


async def watched(url: str, *arguments: object, lines: int) -> list[str]:
    """Return the first lines that `watch` prints."""
    async with client(url, "watch", *arguments) as process:
        return [(await line_of(process)).rstrip("\n") for _ in range(lines)]


async def test_watch_prints_finals_in_the_language_that_is_read(
    translating: RunningService, recording: Path
) -> None:
    url = translating.url
    _, spoken_lines, _ = await run(url, "stream", recording, "--fast", "--conversation", "french")
    french = await watched(url, "french", "--language", "fr-FR", lines=3)
    assert french == [f"Speaker: {pseudo(line, 'fr')}" for line in spoken_lines]
    english = await watched(url, "french", "--language", "en", lines=3)
    assert english == [f"Speaker: {line}" for line in spoken_lines]


async def test_watch_as_json_prints_the_originals_and_their_translations(
    translating: RunningService, recording: Path
) -> None:
    url = translating.url
    await run(url, "stream", recording, "--fast", "--conversation", "both")
    lines = await watched(url, "both", "--language", "fr", "--json", lines=6)
    messages = [json.loads(line) for line in lines]
    finals = {m["utteranceId"]: m for m in messages if m["type"] == "final"}
    translations = [m for m in messages if m["type"] == "translation"]
    assert [m for m in messages if m["type"] not in {"final", "translation"}] == []
    assert len(finals) == len(translations) == 3
    for translation in translations:
        original = finals[translation["utteranceId"]]
        assert translation["text"] == pseudo(original["text"], "fr")


async def test_a_language_that_is_not_offered_exits_with_5_and_names_the_list(
    translating: RunningService,
) -> None:
    code, _, err = await run(translating.url, "watch", "c", "--language", "cy")
    assert code == ExitCode.REFUSED
    assert "into fr, en." in err
    assert "`python -m client languages`" in err

    code, lines, _ = await run(translating.url, "languages")
    assert (code, lines) == (
        ExitCode.OK,
        [
            "Engine: scripted (A stand-in that recognises nothing: its words come from a script)",
            "It gives: times of words",
            "Recognised: any",
            "Translated into: fr, en (marked by a stand-in, not translated)",
        ],
    )
    _, lines, _ = await run(translating.url, "languages", "--json")
    assert json.loads(lines[0])["translation"] == ["fr", "en"]


async def test_languages_of_a_service_without_a_translator(service: RunningService) -> None:
    _, lines, _ = await run(service.url, "languages")
    assert lines[-1] == "Translated into: nothing, for there is no translator"


async def test_languages_of_what_is_no_such_service_exits_with_4() -> None:
    async with deaf_service() as url:
        code, _, err = await run(url, "languages")
    assert code == ExitCode.NO_CONNECTION
    assert "not as this service does: HTTP 404" in err


async def test_two_channels_and_options_are_asked_for_and_who_spoke_is_printed(
    tmp_path: Path,
) -> None:
    stereo = silence(tmp_path / "stereo.wav", 0.5, channels=2)
    wishes = ("--separate-channels", "--option", "show-speaker-label=true", "--option", "a=b=c")
    async with attentive_service() as (url, asked):
        code, lines, _ = await run(url, "stream", stereo, "--fast", *wishes)
    assert code == ExitCode.OK
    assert asked["channels"] == "2"
    assert asked["channelMode"] == "separate"
    assert json.loads(asked["options"]) == {"show-speaker-label": "true", "a": "b=c"}
    assert lines == ["left: hello", "right · speaker 2: hello", "hello"]


async def test_one_channel_cannot_be_separated(service: RunningService, recording: Path) -> None:
    code, _, err = await run(service.url, "stream", recording, "--separate-channels")
    assert code == ExitCode.USAGE
    assert "two channels" in err


async def test_an_option_that_the_engine_lacks_exits_with_5_and_advice(
    service: RunningService, tmp_path: Path
) -> None:
    stereo = silence(tmp_path / "stereo.wav", 0.5, channels=2)
    for wish in (["--separate-channels"], ["--option", "show-speaker-label=true"]):
        code, _, err = await run(service.url, "stream", stereo, *wish)
        assert code == ExitCode.REFUSED
        assert err.startswith("invalid_option: ")
        assert "Leave it out" in err


@asynccontextmanager
async def attentive_service() -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Give the address of a service that answers with three finals, and what it was asked for."""
    asked: dict[str, str] = {}
    who: list[dict[str, object]] = [{"channel": 0}, {"channel": 1, "speaker_label": "spk_1"}, {}]

    async def transcribe(request: web.Request) -> web.WebSocketResponse:
        asked.update(request.query)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        given = {"conversation_id": "c", "language": "en-US"}
        ready = {"stream_id": "s", "engine": "none", "sample_rate": 16_000, "channels": 2}
        await socket.send_str(encode(Ready.model_validate({**given, **ready})).decode())
        async for frame in socket:
            if frame.type is aiohttp.WSMsgType.TEXT and "stop" in frame.data:
                break
        for number, each in enumerate(who, start=1):
            spoken = {"speaker": "Ada", "start_time": 0, "end_time": 1, "text": "hello"}
            names = {"utterance_id": f"u-{number}", "timestamp": "2026-11-20T09:00:00Z"}
            final = Final.model_validate({**given, **spoken, **names, **each, "seq": number})
            await socket.send_str(encode(final).decode())
        closed = Closed(reason="stopped", duration=0.5, finals=len(who))
        await socket.send_str(encode(closed).decode())
        await socket.close()
        return socket

    async with serving(transcribe) as url:
        yield url, asked


async def test_the_library_names_a_refusal(service: RunningService) -> None:
    odd = b"\0\0\0"
    async with Speaker(service.url, MONO) as speaker:
        await speaker.send(odd)
        with pytest.raises(Refused) as refusal:
            _ = [message async for message in speaker]
    assert refusal.value.code is ErrorCode.INVALID_AUDIO


async def test_the_library_names_a_lost_connection() -> None:
    async with running_service() as service, Speaker(service.url, MONO) as speaker:
        service.process.kill()
        with pytest.raises(ConnectionLost):
            _ = [message async for message in speaker]


async def test_leaving_a_service_that_does_not_read_takes_a_second_and_leaves_no_socket() -> None:
    async with deaf_service() as url:
        speaker = Speaker(url, MONO)
        await speaker.__aenter__()
        sending = asyncio.create_task(_flood(speaker))
        await asyncio.sleep(0.5)  # until every buffer on the way is full
        sending.cancel()
        async with asyncio.timeout(CLOSE_SECONDS + 1):
            await speaker.__aexit__(None, None, None)
        await asyncio.gather(sending, return_exceptions=True)

        def gone() -> bool:
            port = URL(url).port
            open_now = psutil.Process().net_connections("tcp")
            return not any(each.raddr and each.raddr.port == port for each in open_now)

        await eventually(gone, "the socket is closed", within=2)


async def _flood(speaker: Speaker) -> None:
    while True:
        await speaker.send(bytes(32_000))


@asynccontextmanager
async def deaf_service() -> AsyncIterator[str]:
    """Give the address of a service that admits a speaker and reads nothing."""
    done = asyncio.Event()

    async def transcribe(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        ready = Ready(
            conversation_id="c",
            stream_id="s",
            engine="none",
            language="en-US",
            sample_rate=16_000,
            channels=1,
        )
        await socket.send_str(encode(ready).decode())
        assert isinstance(request.transport, asyncio.Transport)
        request.transport.pause_reading()
        await done.wait()
        return socket

    async with serving(transcribe) as url:
        try:
            yield url
        finally:
            done.set()


@asynccontextmanager
async def serving(
    transcribe: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Give the address of a service that has nothing but speakers."""
    app = web.Application()
    app.router.add_get("/api/stt/transcribe", transcribe)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_full_disk_exits_with_7(service: RunningService, recording: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "client", "stream", recording, "--fast", "--url", service.url),
        cwd=ROOT,
        stdout=os.open("/dev/full", os.O_WRONLY),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == ExitCode.OUTPUT_FAILED
    assert err.decode() == "the output cannot be written: No space left on device\n"


async def test_interim_results_can_be_kept_away(service: RunningService) -> None:
    async with Speaker(service.url, MONO, interim_results=False) as speaker:
        await speaker.send(bytes(32_000))
        await speaker.stop()
        assert "partial" not in {message.type async for message in speaker}


async def test_the_python_example_of_the_protocol_page_works(
    service: RunningService, recording: Path, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(example)
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, service.url, recording, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert len(out.decode().splitlines()) == 3
