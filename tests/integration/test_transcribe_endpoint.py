"""The local endpoint of Amazon Transcribe over WebSocket, for a client of its own making."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
from amazon_transcribe.auth import Credentials as SdkCredentials
from amazon_transcribe.eventstream import (
    EventSigner,
    EventStreamBuffer,
    EventStreamMessageSerializer,
)
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from picows import (
    WSCloseCode,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from speech.engines.embedded import choose_embedded
from speech.engines.registry import ENGINES, EngineSettings
from tests.support.encoded import encode
from tests.support.eventually import eventually
from tests.support.recordings import flite, silence
from transcribe_endpoint.faults import Fault, Faults
from transcribe_endpoint.recognition.dictation import Dictation, dictate
from transcribe_endpoint.recognition.embedded import EngineRecogniser
from transcribe_endpoint.recognition.recogniser import Recogniser
from transcribe_endpoint.recognition.script import Script
from transcribe_endpoint.streams.session import StreamQuota, TranscribeService
from transcribe_endpoint.transports.certificates import certificates_in
from transcribe_endpoint.transports.websocket import MAX_MESSAGE_BYTES, serve_websocket

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
KEYS = Credentials("AKIDLOCAL", "local-secret-key")
CHUNK = bytes(3_200)  # 100 ms
PATIENCE = 10.0  # seconds
SERIALIZER = EventStreamMessageSerializer()


def audio_event(pcm: bytes) -> bytes:
    headers: dict[str, Any] = {
        ":message-type": "event",
        ":event-type": "AudioEvent",
        ":content-type": "application/octet-stream",
    }
    return bytes(SERIALIZER.serialize(headers, pcm))


def presigned(base: str, keys: Credentials = KEYS, **changes: str) -> str:
    asked = {"language-code": "en-US", "media-encoding": "pcm", "sample-rate": "16000"}
    asked |= {name.replace("_", "-"): value for name, value in changes.items()}
    request = AWSRequest("GET", f"{base}/stream-transcription-websocket?{urlencode(asked)}")
    SigV4QueryAuth(keys, "transcribe", "us-east-1", expires=300).add_auth(request)
    return str(request.url)


class Client(WSListener):
    """Keeps what it receives: the results, how it ended."""

    transport: WSTransport

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.exception: tuple[str, str] | None = None
        self.closed_with: WSCloseCode | None = None
        self.answered = asyncio.Event()
        self.gone = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.closed_with = frame.get_close_code()
            transport.send_close()
            transport.disconnect()
            return
        buffer = EventStreamBuffer()  # type: ignore[no-untyped-call]  # the SDK leaves it so
        buffer.add_data(frame.get_payload_as_bytes())
        for message in buffer:
            body = json.loads(message.payload)
            if message.headers[":message-type"] == "exception":
                self.exception = str(message.headers[":exception-type"]), body["Message"]
            else:
                self.results += body["Transcript"]["Results"]
        self.answered.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        del transport
        self.gone.set()

    def speak(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), len(CHUNK)):
            self.send(audio_event(pcm[start : start + len(CHUNK)]))

    def send(self, message: bytes, kind: WSMsgType = WSMsgType.BINARY) -> None:
        self.transport.send(kind, message)

    async def ended(self) -> None:
        """End the audio and wait for the rest."""
        self.send(audio_event(b""))
        await self.left()

    async def left(self) -> None:
        await asyncio.wait_for(self.gone.wait(), PATIENCE)

    @property
    def finals(self) -> list[str]:
        return [text(result) for result in self.results if not result["IsPartial"]]


def text(result: dict[str, Any]) -> str:
    return str(result["Alternatives"][0]["Transcript"])


async def connected(url: str, **options: Any) -> Client:
    transport, client = await ws_connect(Client, url, **options)
    assert isinstance(client, Client)
    client.transport = transport
    return client


@contextlib.asynccontextmanager
async def endpoint(
    *faults: str, recogniser: Recogniser | None = None, **changes: Any
) -> AsyncIterator[str]:
    """Run an endpoint; the value is its base address."""
    service = TranscribeService(
        recogniser=recogniser or Script.of_text("One two three.\nFour five."),
        secrets={KEYS.access_key: KEYS.secret_key},
        faults=Faults(Fault.parse(fault) for fault in faults),
        **changes,
    )
    async with serve_websocket(service) as port:
        yield f"ws://127.0.0.1:{port}"


async def test_partials_then_finals_then_an_orderly_end() -> None:
    async with endpoint() as base:
        client = await connected(presigned(base))
        client.speak(CHUNK * 25)
        await client.ended()

    assert [text(result) for result in client.results] == [
        "One",
        "One two",
        "One two three.",
        "Four",
        "Four five.",
    ]
    assert client.finals == ["One two three.", "Four five."]
    assert client.exception is None
    assert client.closed_with == WSCloseCode.OK


async def test_results_come_while_audio_still_goes_on() -> None:
    async with endpoint() as base:
        client = await connected(presigned(base))
        client.speak(CHUNK * 4)
        await asyncio.wait_for(client.answered.wait(), PATIENCE)

        assert [text(result) for result in client.results] == ["One"]
        await client.ended()


async def test_the_end_may_be_an_empty_message() -> None:
    async with endpoint() as base:
        client = await connected(presigned(base))
        client.speak(CHUNK * 4)
        client.send(b"")
        await client.left()

    assert client.finals == ["One"]


async def test_the_response_describes_the_stream() -> None:
    session = "0b5a2a9c-9b3f-4c33-8a63-0fd6ab0a4d9e"
    async with endpoint() as base:
        client = await connected(presigned(base, session_id=session))
        headers = client.transport.response.headers
        await client.ended()

    assert headers["x-amzn-transcribe-session-id"] == session
    assert headers["x-amzn-transcribe-sample-rate"] == "16000"
    assert headers["x-amzn-request-id"]


async def test_messages_may_be_signed_each() -> None:
    async with endpoint() as base:
        url = presigned(base)
        client = await connected(url)
        prior = dict(part.split("=") for part in urlsplit(url).query.split("&"))["X-Amz-Signature"]
        signature: Any = bytes.fromhex(prior)
        signer = EventSigner("transcribe", "us-east-1")
        sdk_keys = SdkCredentials(KEYS.access_key, KEYS.secret_key)
        for sealed in (audio_event(CHUNK * 4), b""):
            headers = signer.sign(sealed, signature, sdk_keys)
            signature = headers[":chunk-signature"]
            client.send(bytes(SERIALIZER.serialize(headers, sealed)))
        await client.left()

    assert client.exception is None
    assert client.finals == ["One"]


async def test_an_envelope_signed_by_another_ends_the_stream() -> None:
    async with endpoint() as base:
        client = await connected(presigned(base))
        signer = EventSigner("transcribe", "us-east-1")
        headers = signer.sign(b"", b"x" * 32, SdkCredentials("AKIDLOCAL", "local-secret-key"))
        client.send(bytes(SERIALIZER.serialize(headers, b"")))
        await client.left()

    assert client.exception is not None
    assert client.finals == []


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "spoil", "error"),
    [
        (Credentials("AKIDLOCAL", "wrong"), str, "InvalidSignatureException"),
        (Credentials("AKIDOTHER", "x"), str, "UnrecognizedClientException"),
        (KEYS, lambda url: url.replace("en-US", "fr-FR"), "InvalidSignatureException"),
        (KEYS, lambda url: url.partition("&X-Amz")[0], "MissingAuthenticationTokenException"),
    ],
)
async def test_a_wrong_signature_is_reported_after_the_upgrade(
    keys: Credentials, spoil: Callable[[str], str], error: str
) -> None:
    async with endpoint() as base:
        client = await connected(spoil(presigned(base, keys)))
        await client.left()

    assert client.exception is not None
    assert client.exception[0] == error
    assert client.closed_with == WSCloseCode.OK


async def test_a_bad_request_is_reported_after_the_upgrade() -> None:
    async with endpoint() as base:
        client = await connected(presigned(base, sample_rate="96000"))
        await client.left()

    assert client.exception is not None
    assert client.exception[0] == "BadRequestException"
    assert "mediaSampleRateHertz" in client.exception[1]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "BadRequestException"),
        (403, "AccessDeniedException"),
        (409, "ConflictException"),
        (429, "LimitExceededException"),
    ],
)
async def test_a_refusal_is_an_http_status(status: int, error: str) -> None:
    async with endpoint(f"refuse:{status}x1") as base:
        with pytest.raises(WSHandshakeError) as caught:
            await connected(presigned(base))
        again = await connected(presigned(base))
        await again.ended()

    response = caught.value.response
    assert response is not None
    assert response.status == status
    assert response.headers["x-amzn-ErrorType"] == error
    assert again.exception is None


async def test_another_path_is_not_found() -> None:
    async with endpoint() as base:
        with pytest.raises(WSHandshakeError) as caught:
            await connected(presigned(base).replace("/stream-", "/call-analytics-stream-"))

    assert caught.value.response is not None
    assert caught.value.response.status == 404


async def test_too_many_streams_at_once_are_refused_until_one_has_gone() -> None:
    limits = StreamQuota(streams=1)
    async with endpoint(limits=limits) as base:
        first = await connected(presigned(base))
        refused = await connected(presigned(base))
        await refused.left()
        first.transport.disconnect(graceful=False)
        await first.left()

        await eventually(lambda: not limits.open_streams, "the place of the lost stream is free")
        again = await connected(presigned(base))
        await again.ended()

    assert refused.exception is not None
    assert refused.exception[0] == "LimitExceededException"
    assert again.exception is None


async def test_a_handshake_that_fails_takes_no_place() -> None:
    limits = StreamQuota(streams=1)
    async with endpoint(limits=limits) as base:
        url = urlsplit(presigned(base))
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(
            f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: too-short\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()

        again = await connected(presigned(base))
        await again.ended()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert again.exception is None


async def test_too_many_starts_within_a_second_are_refused() -> None:
    async with endpoint(limits=StreamQuota(starts_per_second=2)) as base:
        clients = [await connected(presigned(base)) for _ in range(3)]
        for client in clients[:2]:
            await client.ended()
        await clients[2].left()

    assert [client.exception and client.exception[0] for client in clients] == [
        None,
        None,
        "LimitExceededException",
    ]


# --- in the middle --------------------------------------------------------------------------------


async def test_an_exception_in_mid_stream_ends_it() -> None:
    async with endpoint("exception:InternalFailure@0.8") as base:
        client = await connected(presigned(base))
        client.speak(CHUNK * 20)
        await client.left()

    assert len(client.results) == 2
    assert client.exception is not None
    assert client.exception[0] == "InternalFailureException"
    assert client.closed_with == WSCloseCode.OK


async def test_a_broken_connection_has_no_close() -> None:
    async with endpoint() as base:
        client = await connected(presigned(base, vocabulary_name="fault-disconnect-0.8"))
        client.speak(CHUNK * 8)
        await client.left()

    assert client.closed_with is None
    assert client.exception is None


async def test_a_stalled_endpoint_reads_no_more() -> None:
    async with endpoint("stall@0.4") as base:
        client = await connected(presigned(base))
        client.speak(CHUNK * 4)
        await asyncio.wait_for(client.answered.wait(), PATIENCE)
        tcp = client.transport.underlying_transport

        def is_stuck() -> bool:
            client.speak(bytes(32_000) * 8)
            return tcp.get_write_buffer_size() > 2 * MAX_MESSAGE_BYTES

        await eventually(is_stuck, "what is sent waits in the client")
        assert len(client.results) == 1
        assert not client.gone.is_set()
        client.transport.disconnect(graceful=False)


async def test_silence_of_the_client_ends_the_stream() -> None:
    async with endpoint("idle:0.1") as base:
        client = await connected(presigned(base))
        await client.left()

    assert client.exception is not None
    assert client.exception[0] == "BadRequestException"
    assert "no new audio was received" in client.exception[1]


async def test_the_limit_is_reported_after_the_upgrade() -> None:
    async with endpoint("limit") as base:
        client = await connected(presigned(base))
        await client.left()

    assert client.exception is not None
    assert client.exception[0] == "LimitExceededException"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"no event", WSMsgType.BINARY),
        (audio_event(CHUNK)[:-1], WSMsgType.BINARY),
        (audio_event(CHUNK[:-1]), WSMsgType.BINARY),
        (b"{}", WSMsgType.TEXT),
    ],
)
async def test_what_is_no_audio_is_a_bad_request(message: bytes, kind: WSMsgType) -> None:
    async with endpoint() as base:
        client = await connected(presigned(base))
        client.send(message, kind)
        await client.left()

    assert client.exception is not None
    assert client.exception[0] == "BadRequestException"


async def test_a_message_may_come_in_frames() -> None:
    event = audio_event(CHUNK * 4)
    async with endpoint() as base:
        client = await connected(presigned(base))
        client.transport.send(WSMsgType.BINARY, event[:100], fin=False)
        client.transport.send(WSMsgType.CONTINUATION, event[100:200], fin=False)
        client.transport.send(WSMsgType.CONTINUATION, event[200:])
        await client.ended()

    assert client.finals == ["One"]


# --- compressed audio ---------------------------------------------------------------------------


async def test_flac_yields_the_dictated_words() -> None:
    file = encode(dictate([(1, 0.1, 0.4), (2, 2.5, 2.9)], seconds=3.0), "flac")
    async with endpoint(recogniser=Dictation()) as base:
        client = await connected(presigned(base, media_encoding="flac"))
        client.speak(file)
        await client.ended()

    assert client.exception is None
    assert client.finals == ["word1", "word2"]
    assert client.results[-1]["Alternatives"][0]["Items"][0]["StartTime"] == pytest.approx(2.5)


async def test_opus_is_counted_by_what_it_sounds_and_not_by_its_bytes() -> None:
    file = encode(CHUNK * 30, "ogg-opus")
    async with endpoint() as base:
        client = await connected(presigned(base, media_encoding="ogg-opus"))
        client.speak(file)
        await client.ended()

    assert client.exception is None
    assert client.finals == ["One two three.", "Four five."]


@pytest.mark.parametrize("encoding", ["flac", "ogg-opus"])
async def test_an_exception_waits_for_decoded_seconds(encoding: str) -> None:
    file = encode(CHUNK * 30, encoding)
    async with endpoint("exception:InternalFailure@0.8") as base:
        client = await connected(presigned(base, media_encoding=encoding))
        client.speak(file)
        await client.left()

    assert [text(result) for result in client.results] == ["One", "One two"]
    assert client.exception is not None
    assert client.exception[0] == "InternalFailureException"


@pytest.mark.parametrize("encoding", ["flac", "ogg-opus"])
async def test_what_cannot_be_decoded_is_a_bad_request(encoding: str) -> None:
    async with endpoint() as base:
        client = await connected(presigned(base, media_encoding=encoding))
        client.speak(CHUNK)
        await client.left()

    assert client.exception is not None
    assert client.exception[0] == "BadRequestException"
    assert client.closed_with == WSCloseCode.OK


# --- what recognises ------------------------------------------------------------------------------


async def test_dictated_words_are_recognised_in_a_second_stream() -> None:
    pcm = dictate([(1, 0.1, 0.4), (2, 1.2, 1.5), (3, 2.4, 2.7)], seconds=3.4)
    async with endpoint("disconnect@1.9x1", recogniser=Dictation()) as base:
        first = await connected(presigned(base))
        first.speak(pcm)
        await first.left()
        second = await connected(presigned(base))
        second.speak(pcm[round(1.5 * 32_000) :])
        await second.ended()

    assert first.finals == ["word1"]  # and the pause after the second word is not over
    assert second.finals == ["word3"]


@pytest.mark.alone
async def test_the_embedded_engine_recognises_what_is_spoken() -> None:
    async with (
        EngineRecogniser(ENGINES[choose_embedded()].create(EngineSettings(), 1)) as embedded,
        endpoint(recogniser=embedded) as base,
    ):
        client = await connected(presigned(base))
        client.speak(silence(0.5) + flite("this is a test of the system") + silence(1.0))
        await client.ended()

    assert client.exception is None
    assert "test of the system" in " ".join(client.finals)


async def test_a_server_that_stops_notifies_its_streams() -> None:
    limits = StreamQuota()
    async with endpoint(limits=limits) as base:
        client = await connected(presigned(base))
    await client.left()

    assert client.exception is not None
    assert client.exception[0] == "ServiceUnavailableException"
    assert client.closed_with == WSCloseCode.OK
    assert limits.open_streams == 0


# --- the program ----------------------------------------------------------------------------------


async def test_the_program_serves_with_a_certificate_until_a_signal(
    tmp_path: Path,
) -> None:
    command = ("-m", "transcribe_endpoint", "--certificates", str(tmp_path))
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stdout=PIPE)
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        websocket = line.decode().split()[1]
        http2 = await process.stdout.readline()
        context = certificates_in(tmp_path).client_context()
        client = await connected(presigned(websocket), ssl_context=context)
        client.speak(CHUNK * 4)
        await client.ended()

        process.send_signal(signal.SIGTERM)
        rest, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert re.fullmatch(rb"Serving wss://localhost:\d+ \(WebSocket API\)\n", line)
    assert re.fullmatch(rb" +https://localhost:\d+ \(HTTP/2 API, calls about voc.*\)\n", http2)
    assert b"SSL_CERT_FILE=" in rest
    assert client.finals == ["The"]
    assert process.returncode == 0


async def test_the_program_has_the_vocabularies_that_were_declared() -> None:
    named = ("names", "places", "names")
    options = ("--no-tls", *(part for name in named for part in ("--vocabulary", name)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "transcribe_endpoint", *options), cwd=ROOT, stdout=PIPE
    )
    assert process.stdout is not None
    try:
        await asyncio.wait_for(process.stdout.readline(), 30)
        line = await process.stdout.readline()
        calls = boto3.session.Session().client(
            "transcribe",
            region_name="us-east-1",
            endpoint_url=line.decode().split()[0],
            aws_access_key_id="AKIDLOCAL",
            aws_secret_access_key="local-secret-key",  # noqa: S106 - made up
        )
        found = await asyncio.to_thread(calls.list_vocabularies, StateEquals="READY")
    finally:
        process.kill()
        await process.wait()

    assert [each["VocabularyName"] for each in found["Vocabularies"]] == ["places", "names"]


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ([f"--vocabulary=v{n}" for n in range(101)], {}, "Your account has its 100 resources"),
        (["--s3-endpoint=http://127.0.0.1:1"], {"AWS_PROFILE": "nobodys"}, "profile (nobodys)"),
        (["--s3-endpoint=localhost:9000"], {}, "invalid http_url value: 'localhost:9000'"),
    ],
)
async def test_what_it_cannot_start_with_is_a_plain_message(
    options: list[str], environment: dict[str, str], message: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "transcribe_endpoint", "--no-tls", *options),
        cwd=ROOT,
        env=os.environ | environment,
        stdout=PIPE,
        stderr=PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode
    assert message in errors.decode()
    assert "Traceback" not in errors.decode()


async def test_a_port_that_is_taken_is_a_plain_message() -> None:
    async with endpoint() as base:
        port = base.rpartition(":")[2]
        command = ("-m", "transcribe_endpoint", "--no-tls", "--port", port)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=ROOT, stdout=PIPE, stderr=PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 1
    assert errors.startswith(b"The endpoint cannot start: ")
