from __future__ import annotations

import asyncio
import io
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from botocore.credentials import Credentials
from botocore.session import Session as BotocoreSession
from picows import ws_create_server

from speech.engines.base import Policy, Recognition, RecognitionOptions, Result
from speech.engines.errors import (
    EngineError,
    EngineStalled,
    OptionError,
    UnsupportedLanguage,
)
from speech.engines.transcribe import AllowedOptions, TranscribeEngine
from speech.engines.transcribe.errors import (
    AccessDenied,
    ConnectionLost,
    CredentialsExpired,
    CredentialsMissing,
    EndpointUnreachable,
    RequestRefused,
    Throttled,
)
from speech.engines.transcribe.options import OptionNotAllowed
from speech.engines.transcribe.session import Patience
from tests.support.deaf_transcribe import WORD_BYTES, Fault, Service, Stream
from tests.support.transcribe_messages import exception

pytestmark = pytest.mark.integration

TOKEN = "token-that-must-not-be-seen"  # noqa: S105 - a stand-in
SECRET = "secret-that-must-not-be-seen"  # noqa: S105 - a stand-in
QUICK = Policy(attempts=4, first_delay=0.01, stall_timeout=1.0, connect_timeout=2.0)
CHUNK = 3_200


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    server = await ws_create_server(made.open, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    for stream in made.streams:
        stream.cut()  # those that do not read have not seen the end
        async with asyncio.timeout(5):
            await stream._transport.wait_disconnected()


def session_with(*keys: str) -> Callable[[], BotocoreSession]:
    """Return what makes botocore sessions; each finds the next of `keys`, or the last again."""
    left = list(keys)

    def make() -> BotocoreSession:
        key = left.pop(0) if len(left) > 1 else left[0]
        session = BotocoreSession()
        session.set_credentials(key, SECRET, TOKEN)
        return session

    return make


def engine_at(url: str, *, policy: Policy = QUICK, **more: Any) -> TranscribeEngine:
    more.setdefault("botocore_session", session_with("AKIDLOCAL"))
    return TranscribeEngine(region="eu-west-1", endpoint=url, policy=policy, **more)


def speech(words: int) -> bytes:
    return b"".join(number.to_bytes(2, "little") * (WORD_BYTES // 2) for number in range(words))


async def write(recognition: Recognition, pcm: bytes) -> None:
    for at in range(0, len(pcm), CHUNK):
        recognition.write(pcm[at : at + CHUNK])
        await recognition.drain()
        await asyncio.sleep(0)


async def rest_of(recognition: Recognition) -> list[Result]:
    return [result async for result in recognition]


async def recognised(engine: TranscribeEngine, words: int) -> list[Result]:
    async with (
        asyncio.timeout(30),
        engine,
        engine.recognise(RecognitionOptions()) as recognition,
    ):
        await write(recognition, speech(words))
        recognition.end()
        return await rest_of(recognition)


def assert_is_whole(results: list[Result], words: int) -> None:
    """Assert that no word is lost or doubled, at the right time, and no final rewritten."""
    finals = [r for r in results if r.is_final]
    recognised_words = [word for final in finals for word in final.words]
    assert [word.word for word in recognised_words] == [f"w{n}" for n in range(words)]
    assert [word.start_time for word in recognised_words] == pytest.approx(
        [n / 2 for n in range(words)]
    )
    assert [word.end_time for word in recognised_words] == pytest.approx(
        [(n + 1) / 2 for n in range(words)]
    )
    closed: set[int] = set()
    for result in results:
        assert result.segment not in closed
        if result.is_final:
            closed.add(result.segment)


async def test_speech_becomes_partials_and_finals(service: Service) -> None:
    results = await recognised(engine_at(service.url), 10)

    assert_is_whole(results, 10)
    assert [r.text for r in results if not r.is_final][:3] == ["w0", "w0 w1", "w0 w1 w2"]
    assert [r.text for r in results if r.is_final][-1] == "w8 w9"
    assert service.requests[0]["language-code"] == "en-US"
    assert service.requests[0]["sample-rate"] == "16000"
    assert len(service.requests) == 1


async def test_what_a_client_chose_is_asked_for(service: Service) -> None:
    engine = engine_at(
        service.url,
        allowed=AllowedOptions(speaker_labels=True),
        defaults={"partial-results-stability": "high"},
    )
    options = RecognitionOptions(language="de-DE", choices={"show-speaker-label": "true"})
    async with engine, engine.recognise(options):
        pass

    asked = service.requests[0]
    assert asked["language-code"] == "de-DE"
    assert asked["show-speaker-label"] == "true"
    assert asked["partial-results-stability"] == "high"


async def test_what_a_client_may_not_choose_is_refused_before_anything_is_opened(
    service: Service,
) -> None:
    engine = engine_at(service.url, allowed=AllowedOptions(languages=frozenset({"en-US"})))

    with pytest.raises(OptionNotAllowed):
        engine.recognise(RecognitionOptions(choices={"show-speaker-label": "true"}))
    with pytest.raises(UnsupportedLanguage):
        engine.recognise(RecognitionOptions(language="fr-FR"))
    assert service.requests == []


FAULTS = [
    Stream.cut,
    Stream.leave,
    Stream.raise_internal,
    Stream.send_noise,
    Stream.stall,
    Stream.freeze,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("words", [0, 1, 4, 6])
async def test_a_fault_in_mid_stream_loses_and_doubles_nothing(
    service: Service, fault: Callable[[Stream], None], words: int
) -> None:
    service.faults = [Fault(after_words=words, how=fault)]
    patience = Patience(tick=0.05, answer=0.5, replay_second=0.0, last_final=0.5)

    results = await recognised(engine_at(service.url, patience=patience), 11)

    assert_is_whole(results, 11)
    assert len(service.streams) == 2


@pytest.mark.parametrize("fault", [Stream.cut, Stream.raise_internal, Stream.stall])
async def test_a_fault_at_the_end_loses_and_doubles_nothing(
    service: Service, fault: Callable[[Stream], None]
) -> None:
    service.faults = [Fault(at_end=fault)]
    patience = Patience(tick=0.05, replay_second=0.0, last_final=0.3)

    assert_is_whole(await recognised(engine_at(service.url, patience=patience), 6), 6)


async def test_a_frozen_peer_holds_the_writer_back_and_is_replaced(service: Service) -> None:
    service.faults = [Fault(frozen=True)]
    words = 400  # 6.4 MB, more than the kernels hold

    engine = engine_at(service.url)
    results: list[Result] = []
    recognition = engine.recognise(RecognitionOptions(), results.append)
    async with asyncio.timeout(30), engine, recognition:
        pcm = speech(words)
        writing = asyncio.create_task(write(recognition, pcm))
        await asyncio.sleep(0.5)
        written = recognition.written
        await asyncio.sleep(0.2)
        assert recognition.written == written  # it waits
        assert recognition.lag <= QUICK.max_backlog + 0.2
        await writing
        recognition.end()
        await recognition.finished()

    assert_is_whole(results, words)


async def test_sessions_follow_each_other_before_their_time_is_up(service: Service) -> None:
    patience = Patience(tick=0.01, renewal_age=4.0, max_age=60.0)
    engine = engine_at(service.url, patience=patience, policy=Policy(attempts=1))
    async with asyncio.timeout(30), engine, engine.recognise(RecognitionOptions()) as recognition:
        for at in range(0, len(pcm := speech(40)), CHUNK):
            recognition.write(pcm[at : at + CHUNK])
            await asyncio.sleep(0.005)
        recognition.end()
        results = await rest_of(recognition)

    assert_is_whole(results, 40)
    assert len(service.streams) > 2


async def test_times_stay_ours_when_the_speaker_pauses(service: Service) -> None:
    patience = Patience(tick=0.01, idle=0.05)
    engine = engine_at(service.url, patience=patience)
    async with asyncio.timeout(30), engine, engine.recognise(RecognitionOptions()) as recognition:
        await write(recognition, speech(4))
        await asyncio.sleep(0.3)  # 200 ms of zeros every 60 ms
        zeros = len(service.streams[0].audio) - 4 * WORD_BYTES
        assert zeros > 0
        # to the next word of the service, which counts from the start of its audio
        rest = bytes(-zeros % WORD_BYTES)
        await write(recognition, rest + speech(8)[4 * WORD_BYTES :])
        recognition.end()
        results = await rest_of(recognition)

    finals = [r for r in results if r.is_final and r.words[-1].word == "w7"]
    shift = len(rest) / 32_000
    times = {word.word: word.start_time for final in finals for word in final.words}
    assert times["w7"] == pytest.approx(3.5 + shift)


REFUSALS: list[tuple[Fault, type[EngineError], int]] = [
    (Fault(status=400, kind="BadRequestException", text="Bad."), RequestRefused, 1),
    (Fault(status=403, kind="UnrecognizedClientException", text="No."), AccessDenied, 1),
    (Fault(status=429, kind="LimitExceededException", text="Many."), Throttled, 4),
    (Fault(status=429, kind="", text=""), Throttled, 4),
    (Fault(at_start=exception("BadRequestException", "No language")), RequestRefused, 1),
    (Fault(at_start=exception("LimitExceededException", "Too many")), Throttled, 4),
]


@pytest.mark.parametrize(("fault", "expected", "attempts"), REFUSALS)
async def test_a_refusal_is_a_named_error_after_as_many_attempts_as_help(
    service: Service, fault: Fault, expected: type[EngineError], attempts: int
) -> None:
    service.faults = [fault] * 10

    with pytest.raises(expected):
        await recognised(engine_at(service.url), 4)

    assert len(service.requests) == attempts


async def test_throttling_that_passes_is_waited_for(service: Service) -> None:
    service.faults = [Fault(status=429, kind="LimitExceededException")] * 2

    assert_is_whole(await recognised(engine_at(service.url), 4), 4)


EXPIRED = [
    Fault(status=403, kind="ExpiredTokenException", text="The security token is expired"),
    Fault(at_start=exception("ExpiredTokenException", "The security token is expired")),
]


@pytest.mark.parametrize("fault", EXPIRED, ids=["refused", "reported"])
async def test_expired_credentials_are_replaced_by_those_that_the_chain_has_now(
    service: Service, fault: Fault
) -> None:
    service.faults = [fault]
    engine = engine_at(service.url, botocore_session=session_with("AKIDOLD", "AKIDNEW"))

    assert_is_whole(await recognised(engine, 5), 5)
    keys = [request["X-Amz-Credential"].split("/")[0] for request in service.requests]
    assert keys == ["AKIDOLD", "AKIDNEW"]


@pytest.mark.parametrize("fault", EXPIRED, ids=["refused", "reported"])
async def test_expired_credentials_that_nobody_renews_are_an_error(
    service: Service, fault: Fault
) -> None:
    service.faults = [fault] * 10

    with pytest.raises(CredentialsExpired):
        await recognised(engine_at(service.url), 4)

    assert len(service.requests) == 1


async def test_without_credentials_nothing_is_opened(service: Service) -> None:
    class Bare(BotocoreSession):
        def get_credentials(self) -> Credentials | None:
            return None

    with pytest.raises(CredentialsMissing):
        await recognised(engine_at(service.url, botocore_session=Bare), 1)
    assert service.requests == []


@asynccontextmanager
async def raw_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_a_connection_that_is_lost_before_the_headers_is_tried_again() -> None:
    calls = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with raw_server(hang_up) as url:
        with pytest.raises(EndpointUnreachable):
            await recognised(engine_at(url), 1)
    assert calls == QUICK.attempts


async def test_a_server_that_never_answers_is_not_waited_for() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    policy = Policy(attempts=2, first_delay=0.01, connect_timeout=0.5)
    async with raw_server(hang) as url:
        with pytest.raises(EndpointUnreachable):
            await recognised(engine_at(url, policy=policy), 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x00" * 40_000,
    ],
)
async def test_who_is_no_websocket_server_is_an_error(answer: bytes) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with raw_server(reply) as url:
        with pytest.raises((EndpointUnreachable, RequestRefused)):
            await recognised(engine_at(url), 1)


async def test_nobody_there_and_no_trust_are_errors() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(EndpointUnreachable):
            await recognised(engine_at(f"http://127.0.0.1:{port}"), 1)

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with raw_server(plain) as url:
        with pytest.raises(EndpointUnreachable):
            await recognised(engine_at(url.replace("http:", "https:")), 1)


async def test_a_peer_that_answered_pings_and_answers_nothing_any_more_is_lost(
    service: Service,
) -> None:
    service.faults = [Fault(after_words=3, how=Stream.freeze)]
    patient = Policy(attempts=2, stall_timeout=60.0)  # and what was sent fits into the buffers
    engine = engine_at(service.url, policy=patient, patience=Patience(ping=0.05))
    async with asyncio.timeout(5), engine, engine.recognise(RecognitionOptions()) as recognition:
        await asyncio.sleep(0.1)
        await write(recognition, speech(4))
        await service.second.wait()
        recognition.end()
        assert_is_whole(await rest_of(recognition), 4)


async def test_a_peer_that_never_answered_a_ping_is_left_in_peace() -> None:
    silent = Service()
    server = await ws_create_server(silent.open, "127.0.0.1", 0, enable_auto_pong=False)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    engine = engine_at(url, patience=Patience(ping=0.02))
    async with asyncio.timeout(5), engine, engine.recognise(RecognitionOptions()) as recognition:
        await asyncio.sleep(0.3)
        await write(recognition, speech(4))
        recognition.end()
        assert_is_whole(await rest_of(recognition), 4)
    server.close()

    assert len(silent.streams) == 1


async def test_streams_that_begin_together_start_one_after_the_other(service: Service) -> None:
    engine = engine_at(service.url, starts_per_second=50.0)
    loop = asyncio.get_running_loop()
    before = loop.time()

    await asyncio.gather(*(recognised(engine, 1) for _ in range(10)))

    assert loop.time() - before >= 9 / 50


async def test_an_outage_of_more_streams_than_begin_in_time_costs_none_of_them(
    service: Service,
) -> None:
    # The last one waits for its start, for 2.5 s, longer than it has patience with the service.
    streams = 10
    service.faults = [Fault(after_words=3, how=Stream.cut)] * streams
    policy = Policy(attempts=2, first_delay=0.01, connect_timeout=2.0)
    engine = engine_at(service.url, policy=policy, starts_per_second=4.0)

    all_finals = await asyncio.gather(*(recognised(engine, 6) for _ in range(streams)))

    for recognised_words in all_finals:
        assert_is_whole(recognised_words, 6)
    assert len(service.requests) == 2 * streams


async def test_a_new_stream_that_would_wait_long_is_refused(service: Service) -> None:
    engine = engine_at(service.url, starts_per_second=0.1)
    await recognised(engine, 1)

    with pytest.raises(Throttled) as caught:
        await recognised(engine, 1)

    assert caught.value.retryable
    assert len(service.requests) == 1


async def test_defaults_that_the_service_would_not_take_end_the_start() -> None:
    for defaults in ({"show-speaker-labels": "true"}, {"pii-entity-types": "NAME"}):
        with pytest.raises(OptionError):
            engine_at("http://127.0.0.1:1", defaults=defaults)


async def test_leaving_in_mid_stream_closes_the_connection(service: Service) -> None:
    engine = engine_at(service.url)
    async with engine, engine.recognise(RecognitionOptions()) as recognition:
        await write(recognition, speech(3))

    async with asyncio.timeout(5):
        await service.streams[0]._transport.wait_disconnected()


async def test_leaving_a_frozen_peer_takes_no_longer(service: Service) -> None:
    """Neither the buffer that it does not read nor its silence holds us."""
    service.faults = [Fault(frozen=True)]
    engine = engine_at(service.url)
    async with asyncio.timeout(3), engine, engine.recognise(RecognitionOptions()) as recognition:
        for _ in range(100):
            recognition.write(speech(1) * 4)


async def test_neither_log_nor_error_holds_a_url_or_a_credential(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Provokes every kind of error that quotes what it can, with all logs on."""
    quoted = f"The Canonical String should have been GET X-Amz-Security-Token={TOKEN}"
    faults = [
        *(fault for fault, _, _ in REFUSALS),
        *EXPIRED,
        Fault(status=400, kind="BadRequestException", text=quoted),
        Fault(status=302, kind="Moved", text=quoted),
        Fault(at_start=exception("BadRequestException", quoted)),
        Fault(at_start=exception(quoted, quoted)),
        Fault(after_words=0, how=Stream.cut),
        Fault(after_words=0, how=Stream.send_noise),
    ]
    seen = io.StringIO()
    policy = Policy(attempts=1, connect_timeout=1.0)
    kept = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(seen))
    caplog.set_level(1)
    monkeypatch.setattr(logging.getLogger("picows.server"), "level", logging.CRITICAL)  # not ours
    asyncio.get_running_loop().set_debug(True)
    errors: list[BaseException] = []
    try:
        for url in [service.url] * len(faults) + ["http://127.0.0.1:1", "http://bad host:1"]:
            service.faults = [faults.pop(0)] if faults else []
            try:
                await recognised(engine_at(url, policy=policy), 2)
            except EngineError as raised:
                errors.append(raised)
    finally:
        asyncio.get_running_loop().set_debug(False)
        structlog.configure(**kept)

    shown = seen.getvalue() + caplog.text
    assert len(errors) >= 12
    for error in errors:  # as they are, and whatever they hold
        shown += "".join(traceback.format_exception(error))
        one: BaseException | None = error
        while one is not None:
            shown += repr(one) + repr(getattr(one, "__dict__", ""))
            one = one.__cause__ or one.__context__
    signatures = [request["X-Amz-Signature"] for request in service.requests]
    assert len(signatures) >= 12
    for secret in (TOKEN, SECRET, "X-Amz-Signature", "AKIDLOCAL", *signatures):
        assert secret not in shown
    assert "Throttled" in shown or "LimitExceeded" in shown


async def test_a_peer_that_is_silent_at_the_end_gives_a_named_error(service: Service) -> None:
    service.faults = [Fault(at_end=Stream.stall)] * 10
    patience = Patience(tick=0.05, replay_second=0.0, last_final=0.1)

    with pytest.raises((EngineStalled, ConnectionLost)):
        await recognised(engine_at(service.url, patience=patience), 2)
