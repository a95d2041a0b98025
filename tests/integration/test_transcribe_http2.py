"""The HTTP/2 API of the local endpoint, with Amazon's own SDK and with a client that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import pytest
import pytest_asyncio
from amazon_transcribe.auth import Credentials as SdkCredentials
from amazon_transcribe.eventstream import (
    EventSigner,
    EventStreamBuffer,
    EventStreamMessageSerializer,
)
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes

from tests.support import transcribe_sdk
from tests.support.eventually import eventually
from transcribe_endpoint.recognition.script import Script
from transcribe_endpoint.streams.session import StreamQuota, TranscribeService
from transcribe_endpoint.transports import http2
from transcribe_endpoint.transports.certificates import Certificates, certificates_in
from transcribe_endpoint.transports.http2 import serve_http2

pytestmark = pytest.mark.integration

KEY, SECRET = "AKIDEXAMPLE", "a-secret"
TEMPORARY = "ASIAEXAMPLE"
SCRIPT = "One two three.\nFour five six.\n"
PATIENCE = 10.0

OPTIONS = {"language-code": "en-US", "sample-rate": "16000", "media-encoding": "pcm"}
SILENCE = bytes(3200)


def _service(**settings: Any) -> TranscribeService:
    return TranscribeService(
        recogniser=Script.of_text(SCRIPT),
        secrets={KEY: SECRET, TEMPORARY: SECRET},
        limits=StreamQuota(starts_per_second=100),
        **settings,
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates_in(tmp_path_factory.mktemp("certificates"))


@pytest_asyncio.fixture
async def service() -> TranscribeService:
    return _service()


@pytest_asyncio.fixture
async def port(service: TranscribeService, certificates: Certificates) -> AsyncIterator[int]:
    async with serve_http2(service, context=certificates.server_context()) as port:
        yield port


# --- Amazon's SDK -------------------------------------------------------------------------


def _plan(endpoint: str) -> dict[str, dict[str, Any]]:
    def case(*, secret: str = SECRET, key: str = KEY, **changes: Any) -> dict[str, Any]:
        options = {"language_code": "en-US"} | changes.pop("options", {})
        token = "a-token" if key == TEMPORARY else None
        return {
            "endpoint": endpoint,
            "credentials": [key, secret, token],
            "options": options,
            "seconds": 1.0,
        } | changes

    def fault(name: str) -> dict[str, Any]:
        return case(options={"vocabulary_name": f"fault-{name}"})

    return {
        "whole": case(seconds=2.9, key=TEMPORARY),
        "side by side": case(streams=3),
        "wrong language": case(options={"language_code": "xx-XX"}),
        "limit": fault("limit"),
        "exception": fault("exception-InternalFailure-0.5"),
        "disconnect": fault("disconnect-0.5"),
        "wrong secret": case(secret="another"),  # noqa: S106 - a wrong one, and made up
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    """What the SDK made of each case; one process runs all, for it takes a second to start."""
    async with serve_http2(_service(), context=certificates.server_context()) as port:
        plan = _plan(f"https://localhost:{port}")
        file = tmp_path_factory.mktemp("sdk") / "plan.json"
        file.write_text(json.dumps(list(plan.values())))
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            transcribe_sdk.__file__,
            file,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"SSL_CERT_FILE": str(certificates.bundle)},
        )
        try:
            async with asyncio.timeout(60):
                output, _ = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert child.returncode == 0
        return dict(zip(plan, json.loads(output), strict=True))


def test_the_sdk_gets_partials_and_finals(sdk: dict[str, list[dict[str, Any]]]) -> None:
    (outcome,) = sdk["whole"]
    assert outcome["error"] is None
    assert outcome["session"]
    finals = [result for result in outcome["results"] if not result["partial"]]
    partials = [result for result in outcome["results"] if result["partial"]]
    assert [final["text"] for final in finals] == ["One two three.", "Four five six."]
    assert {partial["id"] for partial in partials} <= {final["id"] for final in finals}
    assert partials[0]["text"] == "One"
    assert finals[0]["items"] == ["One", "two", "three", "."]


def test_the_sdk_streams_side_by_side_on_one_connection(
    sdk: dict[str, list[dict[str, Any]]],
) -> None:
    outcomes = sdk["side by side"]
    assert len({outcome["session"] for outcome in outcomes}) == 3
    for outcome in outcomes:
        assert outcome["error"] is None
        assert outcome["results"][-1]["partial"] is False


@pytest.mark.parametrize(
    ("case", "error", "message"),
    [
        ("wrong language", "BadRequestException", "languageCode"),
        ("limit", "LimitExceededException", "as a fault"),
        ("exception", "InternalFailureException", "as a fault"),
        ("wrong secret", "UnknownServiceException", "Check your AWS Secret Access Key"),
    ],
)
def test_the_sdk_raises_the_services_exceptions(
    sdk: dict[str, list[dict[str, Any]]], case: str, error: str, message: str
) -> None:
    (outcome,) = sdk[case]
    assert outcome["error"] == error
    assert message in outcome["message"]
    assert bool(outcome["results"]) is (case == "exception")


def test_a_lost_connection_ends_the_sdks_stream(sdk: dict[str, list[dict[str, Any]]]) -> None:
    """It reports no error, which is why the engine has to."""
    (outcome,) = sdk["disconnect"]
    assert outcome["error"] is None
    assert [result["text"] for result in outcome["results"]] == ["One"]


# --- a client of our own ------------------------------------------------------------------


@dataclass
class _Answer:
    """What came back on one stream."""

    id: int
    headers: dict[str, str]
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def messages(self) -> list[tuple[str, Any]]:
        """What each message is, and its payload."""
        buffer = EventStreamBuffer()  # type: ignore[no-untyped-call]  # the SDK's has no annotation
        buffer.add_data(self.body)
        return [
            (
                message.headers.get(":exception-type") or message.headers[":event-type"],
                json.loads(message.payload),
            )
            for message in buffer
        ]

    @property
    def finals(self) -> list[str]:
        return [
            result["Alternatives"][0]["Transcript"]
            for kind, payload in self.messages
            if kind == "TranscriptEvent"
            for result in payload["Transcript"]["Results"]
            if not result["IsPartial"]
        ]

    @property
    def exception(self) -> tuple[str, str] | None:
        """The type and message of the exception that ended it."""
        kind, payload = self.messages[-1]
        return None if kind == "TranscriptEvent" else (kind, payload["Message"])


class _Client:
    """Speaks HTTP/2 by hand, so that it can do what a client ought not to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.answers: dict[int, _Answer] = {}
        self.terminated: ConnectionTerminated | None = None
        #: Whether windows open again as what came is read.
        self.reads = True
        self._reader = reader
        self._writer = writer
        self._signers: dict[int, tuple[EventSigner, bytes]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def to(
        cls, port: int, certificates: Certificates, *, window: int = 65_535
    ) -> AsyncIterator[Self]:
        context = certificates.client_context(protocols=["h2"])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        client = cls(reader, writer)
        client.h2.initiate_connection()
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        client.flush()
        try:
            yield client
        finally:
            writer.transport.abort()

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    def request(
        self, *, path: str = "/stream-transcription", sign: bool = True, **changes: str
    ) -> _Answer:
        """Open a stream; keywords change parameters."""
        parameters = OPTIONS | {name.replace("_", "-"): value for name, value in changes.items()}
        headers = {f"x-amzn-transcribe-{name}": value for name, value in parameters.items()}
        if sign:
            request = AWSRequest("POST", f"https://localhost{path}", headers=headers)
            SigV4Auth(Credentials(KEY, SECRET), "transcribe", "us-east-1").add_auth(request)
            headers = {name.lower(): value for name, value in request.headers.items()}
        stream = self.h2.get_next_available_stream_id()
        pseudo = [
            (":method", "POST"),
            (":path", path),
            (":scheme", "https"),
            (":authority", "localhost"),
        ]
        self.h2.send_headers(stream, [*pseudo, *headers.items()])
        self.flush()
        if sign:
            seed = bytes.fromhex(headers["authorization"].rpartition("Signature=")[2])
            self._signers[stream] = (EventSigner("transcribe", "us-east-1"), seed)
        self.answers[stream] = _Answer(stream, {})
        return self.answers[stream]

    def envelope(self, stream: int, payload: bytes) -> bytes:
        """Return the next signed envelope of a stream."""
        signer, prior = self._signers[stream]
        headers = signer.sign(payload, prior, SdkCredentials(KEY, SECRET))
        signature = headers[":chunk-signature"]
        assert isinstance(signature, bytes)
        self._signers[stream] = (signer, signature)
        return bytes(EventStreamMessageSerializer().serialize(headers, payload))

    def audio(self, stream: int, pcm: bytes = SILENCE) -> bytes:
        """Return the next envelope of a stream, around audio."""
        headers = {":message-type": "event", ":event-type": "AudioEvent"}
        return self.envelope(stream, EventStreamMessageSerializer().serialize({**headers}, pcm))

    async def send(self, stream: int, data: bytes) -> None:
        await self.until(lambda: self.h2.local_flow_control_window(stream) >= len(data))
        self.h2.send_data(stream, data)
        self.flush()

    async def speak(self, stream: int, seconds: float) -> None:
        """Send audio, and that it ends."""
        for _ in range(round(seconds * 10)):
            await self.send(stream, self.audio(stream))
        await self.send(stream, self.envelope(stream, b""))
        self.h2.end_stream(stream)
        self.flush()

    async def until(self, condition: Any) -> None:
        """Read until `condition()` holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                data = await self._reader.read(65_536)
                if not data:
                    raise ConnectionError
                for event in self.h2.receive_data(data):
                    self._note(event)
                self.flush()

    async def ended(self, answer: _Answer) -> None:
        await self.until(lambda: answer.ended)

    def _note(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                headers = ((str(name), str(value)) for name, value in event.headers)
                self.answers[event.stream_id].headers = dict(headers)
            case DataReceived():
                self.answers[event.stream_id].body += event.data
                if self.reads:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self.answers[event.stream_id].ended = True
            case StreamReset():
                self.answers[event.stream_id].reset = event.error_code
            case ConnectionTerminated():
                self.terminated = event
            case _:
                pass


@pytest_asyncio.fixture
async def client(port: int, certificates: Certificates) -> AsyncIterator[_Client]:
    async with _Client.to(port, certificates) as client:
        yield client


async def test_a_response_identifies_the_stream(client: _Client) -> None:
    answer = client.request(session_id="01234567-89ab-cdef-0123-456789abcdef")
    await client.until(lambda: answer.headers)
    assert answer.headers[":status"] == "200"
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert answer.headers["x-amzn-transcribe-session-id"] == "01234567-89ab-cdef-0123-456789abcdef"
    assert answer.headers["x-amzn-transcribe-language-code"] == "en-US"


async def test_a_graceful_goaway_leaves_open_streams_alone(client: _Client) -> None:
    """Node's client sends one as soon as it has the headers."""
    answer = client.request()
    await client.until(lambda: answer.headers)
    client._writer.write(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))  # h2 closes itself
    await client.speak(answer.id, 1.3)
    await client.ended(answer)
    assert answer.finals == ["One two three."]
    await client.until(lambda: client.terminated)


async def test_a_goaway_for_an_error_ends_the_streams(
    service: TranscribeService, client: _Client
) -> None:
    answer = client.request()
    await client.until(lambda: answer.headers)
    client.h2.close_connection(ErrorCodes.INTERNAL_ERROR)
    client.flush()
    await eventually(lambda: service.limits.open_streams == 0, "the stream is over")


@pytest.mark.parametrize(
    ("request_", "status", "error"),
    [
        ({"sign": False}, "403", "MissingAuthenticationTokenException"),
        ({"path": "/"}, "404", "UnknownOperationException"),
        ({"sample_rate": "7999"}, "400", "BadRequestException"),
        ({"vocabulary_name": "fault-refuse-503"}, "503", "ServiceUnavailableException"),
    ],
)
async def test_a_refusal_is_a_status_with_a_reason(
    client: _Client, request_: dict[str, Any], status: str, error: str
) -> None:
    answer = client.request(**request_)
    await client.ended(answer)
    assert answer.headers[":status"] == status
    assert answer.headers["x-amzn-errortype"] == error
    assert json.loads(answer.body)["Message"]


async def test_an_envelope_that_was_tampered_with_ends_the_stream(client: _Client) -> None:
    answer = client.request()
    first = client.audio(answer.id)
    await client.send(answer.id, first + first)
    await client.ended(answer)
    kind, message = answer.exception or ("", "")
    assert kind == "BadRequestException"
    assert "signature we calculated does not match" in message


@pytest.mark.parametrize("body", [b"\x00" * 100, b"no event stream at all" * 5])
async def test_what_is_no_event_stream_ends_it(client: _Client, body: bytes) -> None:
    answer = client.request()
    await client.send(answer.id, body)
    await client.ended(answer)
    assert answer.exception == ("BadRequestException", "The event stream is malformed.")


async def test_an_envelope_must_hold_one_audio_event(client: _Client) -> None:
    serializer = EventStreamMessageSerializer()
    event = serializer.serialize({":event-type": "AudioEvent", ":message-type": "event"}, SILENCE)
    for payload in (b"raw audio", event + event, event[:-1]):
        answer = client.request()
        await client.send(answer.id, client.envelope(answer.id, payload))
        await client.ended(answer)
        assert (answer.exception or [""])[0] == "BadRequestException"


async def test_audio_has_to_be_ended_before_the_stream(client: _Client) -> None:
    answer = client.request()
    await client.send(answer.id, client.audio(answer.id))
    client.h2.end_stream(answer.id)
    client.flush()
    await client.ended(answer)
    assert "without the preceding empty frame" in (answer.exception or ("", ""))[1]


async def test_an_event_that_is_split_over_frames_is_read(client: _Client) -> None:
    answer = client.request()
    await client.until(lambda: answer.headers)
    data = b"".join(client.audio(answer.id) for _ in range(13)) + client.envelope(answer.id, b"")
    for at in range(0, len(data), 999):
        await client.send(answer.id, data[at : at + 999])
    await client.ended(answer)
    assert answer.finals == ["One two three."]


async def test_a_stalled_stream_takes_no_more_than_its_window(client: _Client) -> None:
    """And the others of the connection go on."""
    stalled = client.request(vocabulary_name="fault-stall-0.1")
    await client.until(lambda: stalled.headers)
    await client.send(stalled.id, client.audio(stalled.id))
    sent = 0
    while client.h2.local_flow_control_window(stalled.id) >= 4096:
        await client.send(stalled.id, bytes(4096))
        sent += 4096
    assert sent <= 65_535

    other = client.request()
    await client.until(lambda: other.headers)
    await client.speak(other.id, 1.3)
    await client.ended(other)
    assert other.finals == ["One two three."]
    assert client.h2.local_flow_control_window(stalled.id) < 4096
    # What the stalled stream holds is taken from its own window only.
    assert client.h2.outbound_flow_control_window > http2.CONNECTION_WINDOW - 50_000
    assert not stalled.ended


async def test_transcripts_wait_for_the_client_up_to_a_bound(
    port: int,
    certificates: Certificates,
    service: TranscribeService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http2, "MAX_WAITING_BYTES", 1024)
    async with _Client.to(port, certificates, window=100) as client:
        client.reads = False
        answer = client.request()
        await client.until(lambda: answer.headers)
        for _ in range(15):  # fits into the window for audio
            await client.send(answer.id, client.audio(answer.id))
        await client.until(lambda: answer.reset is not None)
        assert answer.reset == ErrorCodes.ENHANCE_YOUR_CALM
        assert len(answer.body) == 100
        assert service.limits.open_streams == 0


async def test_transcripts_come_as_the_client_makes_room(
    port: int, certificates: Certificates
) -> None:
    async with _Client.to(port, certificates, window=100) as client:
        answer = client.request()
        await client.until(lambda: answer.headers)
        await client.speak(answer.id, 2.9)
        await client.ended(answer)
        assert answer.finals == ["One two three.", "Four five six."]


async def test_who_goes_on_after_the_answer_is_reset(
    port: int, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2, "LINGER_SECONDS", 0.05)
    async with _Client.to(port, certificates) as client:
        answer = client.request(sample_rate="1")
        await client.ended(answer)
        await client.until(lambda: answer.reset is not None)
        assert answer.reset == ErrorCodes.NO_ERROR


async def test_a_client_that_resets_its_stream_is_let_go(
    service: TranscribeService, client: _Client
) -> None:
    answer = client.request()
    await client.until(lambda: answer.headers)
    assert service.limits.open_streams == 1
    client.h2.reset_stream(answer.id)
    other = client.request()
    await client.until(lambda: other.headers)
    assert service.limits.open_streams == 1


async def test_an_idle_connection_is_closed(
    port: int, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2, "IDLE_CONNECTION_SECONDS", 0.05)
    async with _Client.to(port, certificates) as client:
        await client.until(lambda: client.terminated)
        assert client.terminated is not None
        assert client.terminated.error_code == ErrorCodes.NO_ERROR


async def test_shutting_down_notifies_the_streams(certificates: Certificates) -> None:
    context = certificates.server_context()
    async with contextlib.AsyncExitStack() as stack:
        async with serve_http2(_service(), context=context) as port:
            client = await stack.enter_async_context(_Client.to(port, certificates))
            answer = client.request()
            await client.until(lambda: answer.headers)
        await client.until(lambda: client.terminated)
        assert (answer.exception or [""])[0] == "ServiceUnavailableException"
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)


async def test_http_1_1_refuses_streams(port: int, certificates: Certificates) -> None:
    context = certificates.client_context(protocols=["http/1.1"])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(b"POST /stream-transcription HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 403")
    assert b'"__type": "MissingAuthenticationTokenException"' in answer
    writer.close()


async def test_a_client_that_does_not_trust_the_authority_does_not_get_in(port: int) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(
            "127.0.0.1", port, ssl=ssl.create_default_context(), server_hostname="localhost"
        )


async def test_both_names_of_the_machine_are_certified(
    port: int, certificates: Certificates
) -> None:
    for name in ("localhost", "127.0.0.1"):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=certificates.client_context(), server_hostname=name
        )
        certificate = writer.get_extra_info("peercert")
        until = ssl.cert_time_to_seconds(certificate["notAfter"])
        assert until > datetime.now(UTC).timestamp()
        writer.transport.abort()
