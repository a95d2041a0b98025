"""The engine over TLS, against the local endpoint with its faults and against bad peers."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import structlog
from botocore.session import Session as BotocoreSession

from speech.engines.base import Policy, Recognition, RecognitionOptions, Result
from speech.engines.errors import EngineError, EngineStalled
from speech.engines.transcribe import AllowedOptions, TranscribeEngine
from speech.engines.transcribe.errors import (
    AccessDenied,
    ConnectionLost,
    EndpointUnreachable,
    RequestRefused,
    Throttled,
)
from speech.engines.transcribe.session import Patience
from transcribe_endpoint.faults import Fault, Faults
from transcribe_endpoint.recognition.dictation import Dictation, dictate
from transcribe_endpoint.streams.session import StreamQuota, TranscribeService
from transcribe_endpoint.transports.certificates import Certificates, certificates_in
from transcribe_endpoint.transports.websocket import serve_websocket

pytestmark = pytest.mark.integration

KEY, SECRET, TOKEN = "AKIDLOCAL", "secret-that-must-not-be-seen", "token-that-must-not-be-seen"
QUICK = Policy(attempts=4, first_delay=0.01, stall_timeout=1.0, connect_timeout=4.0)
ONCE = Policy(attempts=1, stall_timeout=1.0, connect_timeout=2.0)
IMPATIENT = Patience(tick=0.05, answer=0.6, last_final=0.4, replay_second=0.0)
CHUNK_SECONDS = 0.1


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates_in(tmp_path_factory.mktemp("certificates"))


def voice(first: int, *, offset: float, seconds: float) -> bytes:
    """Return mono audio of words from `first` on: pairs, with the silence after that ends them."""
    words, at, number = [], offset, first
    while at + 1.8 < seconds:
        words += [(number, at, at + 0.3), (number + 1, at + 0.4, at + 0.8)]
        number, at = number + 2, at + 1.5
    return dictate(words, seconds=seconds)


def together(left: bytes, right: bytes) -> bytes:
    """Return two channels, interleaved."""
    return np.stack([np.frombuffer(left, "<i2"), np.frombuffer(right, "<i2")], axis=1).tobytes()


MONO = voice(1, offset=0.2, seconds=6.0)
#: While one is in a segment, the other ends one.
STEREO = together(MONO, voice(101, offset=0.9, seconds=6.0))


def signed_by(secret: str) -> Callable[[], BotocoreSession]:
    def session() -> BotocoreSession:
        made = BotocoreSession()
        made.set_credentials(KEY, secret, TOKEN)
        return made

    return session


@asynccontextmanager
async def engine_to(
    certificates: Certificates, *faults: str, secret: str = SECRET, **more: Any
) -> AsyncIterator[TranscribeEngine]:
    """Run the endpoint, with these faults; yield an engine that reaches it."""
    service = TranscribeService(
        recogniser=Dictation(),
        secrets={KEY: SECRET},
        limits=StreamQuota(starts_per_second=1000),
        faults=Faults(Fault.parse(fault) for fault in faults),
    )
    tls = certificates.server_context(protocols=["http/1.1"])
    async with serve_websocket(service, tls=tls) as port:
        yield engine_at(port, certificates, secret=secret, **more)


def engine_at(
    port: int, certificates: Certificates, *, secret: str = SECRET, **more: Any
) -> TranscribeEngine:
    settings: dict[str, Any] = {
        "region": "eu-west-1",
        "endpoint": f"https://localhost:{port}",
        "ca_bundle": str(certificates.authority),
        "policy": QUICK,
        "patience": IMPATIENT,
        "starts_per_second": 1000.0,
        "botocore_session": signed_by(secret),
    }
    return TranscribeEngine(**settings | more)


async def write(recognition: Recognition, pcm: bytes, *, channels: int = 1) -> None:
    size = round(CHUNK_SECONDS * 32_000) * channels
    for at in range(0, len(pcm), size):
        recognition.write(pcm[at : at + size])
        await recognition.drain()
        await asyncio.sleep(0.002)


async def recognised(
    engine: TranscribeEngine, pcm: bytes = MONO, *, channels: int = 1
) -> list[Result]:
    options = RecognitionOptions(channels=channels)
    async with asyncio.timeout(30), engine, engine.recognise(options) as recognition:
        await write(recognition, pcm, channels=channels)
        recognition.end()
        return [result async for result in recognition]


def words_of(results: list[Result]) -> dict[int, list[tuple[str, float]]]:
    """Return the words of each channel with their starts; finals only, none rewritten."""
    words: dict[int, list[tuple[str, float]]] = {}
    closed: set[tuple[int, int]] = set()
    for result in results:
        assert (result.channel, result.segment) not in closed
        if result.is_final:
            closed.add((result.channel, result.segment))
            channel = words.setdefault(result.channel, [])
            channel += [(word.word, word.start_time) for word in result.words]
    return words


def assert_same(results: list[Result], expected: dict[int, list[tuple[str, float]]]) -> None:
    found = words_of(results)
    assert sorted(found) == sorted(expected)
    for channel, words in expected.items():
        assert [word for word, _ in found[channel]] == [word for word, _ in words]
        starts = [start for _, start in found[channel]]
        assert starts == pytest.approx([start for _, start in words], abs=0.05)


WHOLE = {0: [(f"word{n}", 0.2 + (n - 1) // 2 * 1.5 + (n - 1) % 2 * 0.4) for n in range(1, 7)]}
WHOLE_STEREO = WHOLE | {
    1: [(f"word{n}", 0.9 + (n - 101) // 2 * 1.5 + (n - 101) % 2 * 0.4) for n in range(101, 107)]
}

FAULTS = [
    "disconnect@0.5x1",
    "disconnect@3.3x2",
    "disconnect@6x1",
    "exception:InternalFailure@2.2x1",
    "exception:LimitExceeded@0.1x2",
    "stall@2.2x1",
    "stall@6x1",
    "refuse:429x2",
    "refuse:503x1",
]


@pytest.mark.parametrize("fault", [None, *FAULTS])
async def test_no_fault_loses_or_doubles_a_word(
    fault: str | None, certificates: Certificates
) -> None:
    async with engine_to(certificates, *filter(None, [fault])) as engine:
        assert_same(await recognised(engine), WHOLE)


@pytest.mark.parametrize("fault", [None, "disconnect@1.0x1", "disconnect@2.6x2", "stall@3.4x1"])
async def test_two_channels_are_whole_each_by_itself(
    fault: str | None, certificates: Certificates
) -> None:
    allowed = AllowedOptions(two_channels=True)
    async with engine_to(certificates, *filter(None, [fault]), allowed=allowed) as engine:
        assert_same(await recognised(engine, STEREO, channels=2), WHOLE_STEREO)


async def test_a_connection_that_is_lost_before_the_answer_loses_no_word(
    certificates: Certificates,
) -> None:
    """No result was sent yet, so only the way it ended shows that something is missing."""
    async with (
        asyncio.timeout(10),
        engine_to(certificates, "disconnect@1x1") as engine,
        engine,
        engine.recognise(RecognitionOptions()) as recognition,
    ):
        recognition.write(dictate([(1, 0.2, 1.0)], seconds=1.0))
        recognition.end()
        results = [result async for result in recognition]

    assert_same(results, {0: [("word1", 0.2)]})


async def test_a_frozen_peer_holds_the_writer_back(certificates: Certificates) -> None:
    async with (
        engine_to(certificates, "stall@0", policy=Policy()) as engine,
        engine,
        engine.recognise(RecognitionOptions()) as recognition,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await write(recognition, MONO * 40)
        assert recognition.backlogged
        assert recognition.written < 60.0  # of 240 s


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("refuse:400", RequestRefused),
        ("refuse:403", AccessDenied),
        ("refuse:429", Throttled),
        ("limit", Throttled),
        ("disconnect@0", ConnectionLost),
    ],
)
async def test_what_goes_wrong_again_and_again_has_a_name(
    fault: str, expected: type[EngineError], certificates: Certificates
) -> None:
    async with engine_to(certificates, fault) as engine:
        with pytest.raises(expected):
            await recognised(engine)


async def test_a_peer_that_never_finishes_has_stalled(certificates: Certificates) -> None:
    async with engine_to(certificates, "stall@0.1", policy=ONCE) as engine:
        with pytest.raises((EngineStalled, ConnectionLost)):
            await recognised(engine)


async def test_a_wrong_secret_is_denied_and_no_secret_is_logged(
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = io.StringIO()
    kept = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(seen))
    caplog.set_level(1)
    for server in ("picows.server", "hpack.hpack"):  # the endpoint's are not ours
        monkeypatch.setattr(logging.getLogger(server), "level", logging.CRITICAL)
    try:
        async with engine_to(certificates, secret="another-secret") as engine:  # noqa: S106
            with pytest.raises(AccessDenied) as caught:
                await recognised(engine)
    finally:
        structlog.configure(**kept)

    shown = seen.getvalue() + caplog.text
    error: BaseException | None = caught.value
    while error is not None:
        shown += "".join(traceback.format_exception(error)) + repr(vars(error))
        error = error.__cause__ or error.__context__
    for secret in (SECRET, "another-secret", TOKEN, "X-Amz-Signature=", "Signature="):
        assert secret not in shown


# --- peers that do not speak as the service does ----------------------------------------------

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.close()


async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)
    writer.close()


async def talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"\0nonsense\r\n\r\n" * 100)
    writer.close()


@pytest.mark.parametrize("behaviour", [hang_up, stay_silent, talk_nonsense])
async def test_a_peer_that_is_no_websocket_server_is_not_waited_for(
    behaviour: Peer, certificates: Certificates
) -> None:
    policy = Policy(attempts=2, first_delay=0.01, connect_timeout=1.0)
    context = certificates.server_context(protocols=["http/1.1"])
    server = await asyncio.start_server(behaviour, "127.0.0.1", 0, ssl=context)
    port = int(server.sockets[0].getsockname()[1])
    with pytest.raises((EndpointUnreachable, ConnectionLost)):
        await recognised(engine_at(port, certificates, policy=policy))
    server.close()


async def test_nobody_there_and_nobody_to_trust_are_errors(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(EndpointUnreachable):
            await recognised(engine_at(port, certificates, policy=ONCE))

    stranger = certificates_in(tmp_path_factory.mktemp("stranger"))
    bundle = str(stranger.authority)
    async with engine_to(certificates, ca_bundle=bundle, policy=ONCE) as engine:
        with pytest.raises(EndpointUnreachable):
            await recognised(engine)
