"""The way to the service by the SDK's client, over HTTP/2.

The SDK signs, encodes and decodes; `crt.py` carries it. Each stream has a connection of its own,
so that one which breaks takes no other with it. It is there for networks that let no WebSocket
through: measured on loopback, in real time, it takes 4.6 % of a core for one stream and 31 % for
20, where `websocket.py` takes 0.6 % and 5.3 %, and results come 6 ms later. The SDK knows one
operation, so there are no medical streams over it (`operators.py`).

Trust: `AWS_CA_BUNDLE` and the profile's `ca_bundle` count here as they do elsewhere, though the
SDK by itself knows `SSL_CERT_FILE` only. The runtime's TLS refuses an authority whose certificate
has a rule on IP addresses (RFC 5280, section 4.2.1.10), and tells of a peer that it does not trust
so late that it looks like one that does not answer.

A dead peer: one that stops reading opens no more window, which is 64 KiB or 2 seconds of audio;
so `waiting` grows, and the recognition gives the session up. That does not tell whether anything
behind the peer is alive, no more than a pong does.
"""

from __future__ import annotations

import asyncio
import copy
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from amazon_transcribe.auth import StaticCredentialResolver
from amazon_transcribe.client import TranscribeStreamingClient
from amazon_transcribe.endpoints import StaticEndpointResolver
from amazon_transcribe.eventstream import ParserError
from amazon_transcribe.exceptions import SDKError, ServiceException, UnknownServiceException
from amazon_transcribe.model import (
    AudioStream,
    StartStreamTranscriptionEventStream,
    StartStreamTranscriptionRequest,
    TranscriptEvent,
)
from amazon_transcribe.request import Request
from amazon_transcribe.serialize import TranscribeStreamingSerializer
from awscrt.exceptions import AwsCrtError  # type: ignore[import-untyped]  # it ships no annotations
from awscrt.io import (  # type: ignore[import-untyped]  # likewise
    ClientTlsContext,
    TlsContextOptions,
)
from botocore.credentials import ReadOnlyCredentials

from speech.engines.errors import EngineError
from speech.engines.transcribe.crt import Body, Exchange
from speech.engines.transcribe.endpoints import http2_url
from speech.engines.transcribe.errors import EndpointUnreachable, UnreadableEvent, to_engine_error
from speech.engines.transcribe.link import Receiver
from speech.transcribe_api import Operation
from speech.transcribe_values import START_STREAM_TRANSCRIPTION

#: The SDK's own names for parameters; for the others it has `_` where the service has `-`.
_NAMES = {
    "sample-rate": "media_sample_rate_hz",
    "vocabulary-filter-method": "vocab_filter_method",
    "vocabulary-filter-name": "vocab_filter_name",
    "vocabulary-filter-names": "vocab_filter_names",
}
_LISTS = frozenset(
    name for name, parameter in START_STREAM_TRANSCRIPTION.parameters.items() if parameter.several
)
#: Parameters that the SDK does not know; it gets them into a request as its headers.
_UNKNOWN = frozenset({"session-resume-window", "transcript-format"})
#: What the SDK's parser raises when the service does not keep to its form.
_UNREADABLE = (ParserError, ValueError, KeyError, TypeError, AttributeError, struct.error)
#: Of the SDK's exceptions in place of the service's status.
_STATUS = {"LimitExceededException": 429, "InternalFailureException": 500}


class Http2Transport:
    """Makes links over HTTP/2."""

    def __init__(
        self, *, region: str, endpoint: str | None, ca_bundle: Callable[[], str | None]
    ) -> None:
        """Make a transport; nothing is connected yet.

        Args:
            region: of AWS.
            endpoint: base URL instead of the region's.
            ca_bundle: returns a file of the authorities to trust; may take a while. Without one
                the runtime trusts what the system does, and `SSL_CERT_FILE`.

        Raises:
            ValueError: `endpoint` is no base URL of HTTP/2.
        """
        self._region = region
        self._base = http2_url(region, endpoint)
        self._ca_bundle = ca_bundle
        self._made: tuple[TranscribeStreamingClient, ClientTlsContext] | None = None

    def link(self, operation: Operation) -> Http2Link:  # noqa: ARG002 - the SDK knows only one
        """Return the link of a new stream, not open yet."""
        return Http2Link(self)

    async def parts(self) -> tuple[TranscribeStreamingClient, ClientTlsContext]:
        """Return a client to copy, and whom to trust; made once, for it takes 50 ms.

        Raises:
            EndpointUnreachable: the file of authorities cannot be used.
        """
        if self._made is None:
            try:
                self._made = await asyncio.to_thread(self._make)
            except Exception as error:  # noqa: BLE001 - the runtime raises whatever it maps to
                why = type(error).__name__
            else:
                return self._made
            raise EndpointUnreachable(f"the authorities to trust cannot be read: {why}")
        return self._made

    def _make(self) -> tuple[TranscribeStreamingClient, ClientTlsContext]:
        client = TranscribeStreamingClient(
            region=self._region,
            endpoint_resolver=StaticEndpointResolver(self._base),  # type: ignore[no-untyped-call]  # the SDK leaves it so
            credential_resolver=StaticCredentialResolver("", ""),  # each copy gets its own
        )
        options = TlsContextOptions()
        bundle = self._ca_bundle()
        if bundle is not None:
            options.override_default_trust_store_from_path(None, bundle)
        return client, ClientTlsContext(options)


class Http2Link:
    """One stream over HTTP/2. `open` it, then send; in the end `close`."""

    receiver: Receiver

    def __init__(self, transport: Http2Transport) -> None:
        self.request_id: str | None = None
        self._transport = transport
        self._exchange: Exchange | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._events: deque[bytes] = deque()  # not signed yet
        self._event_bytes = 0
        self._complete = False
        self._written = asyncio.Event()

    async def open(
        self, parameters: Mapping[str, str], credentials: ReadOnlyCredentials, *, seconds: float
    ) -> None:
        """Open the stream that `parameters` ask for, within `seconds`.

        Raises:
            EndpointUnreachable: there is no connection, or no answer.
            EngineError: the service refuses the stream.
        """
        refusal: EngineError
        try:
            async with asyncio.timeout(seconds):
                stream = await self._start(parameters, credentials)
        except TimeoutError:
            refusal = EndpointUnreachable(f"Amazon Transcribe did not answer in {seconds:g} s")
        except EngineError as error:
            refusal = error
        except ServiceException as error:
            refusal = _refused(error)
        except (SDKError, AwsCrtError, OSError, RuntimeError, *_UNREADABLE) as error:
            # RuntimeError is the SDK's for a status that is none of the service's.
            refusal = EndpointUnreachable(
                f"Amazon Transcribe's endpoint did not answer as it does: {type(error).__name__}"
            )
        else:
            self.request_id = stream.response.request_id
            self._tasks = [
                asyncio.create_task(self._send(stream.input_stream)),
                asyncio.create_task(self._listen(stream)),
            ]
            return
        await self.close()
        raise refusal

    def send_audio(self, pcm: bytes) -> None:
        """Send an event of audio; what the peer does not take waits in memory."""
        self._events.append(pcm)
        self._event_bytes += len(pcm)
        self._written.set()

    def end_audio(self) -> None:
        """Tell the service that the audio is complete."""
        self._complete = True
        self._written.set()

    @property
    def waiting(self) -> int:
        """Bytes that the runtime has not taken yet."""
        body = self._exchange.body.waiting if self._exchange is not None else 0
        return self._event_bytes + body

    async def close(self) -> None:
        """End the stream, wherever it is, and the connection. May be called twice."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._exchange is not None:
            await self._exchange.close()

    # --- private --------------------------------------------------------------------------------

    async def _start(
        self, parameters: Mapping[str, str], credentials: ReadOnlyCredentials
    ) -> StartStreamTranscriptionEventStream:
        template, tls = await self._transport.parts()
        self._exchange = Exchange(tls, drained=self.receiver.drained)
        client: Any = copy.copy(template)  # Any: these parts of it have no other names
        client._session_manager = self._exchange  # noqa: SLF001
        client._serializer = _Serializer(self._exchange.body, parameters)  # noqa: SLF001
        client._credential_resolver = StaticCredentialResolver(  # noqa: SLF001
            credentials.access_key or "", credentials.secret_key or "", credentials.token
        )
        stream: StartStreamTranscriptionEventStream = await client.start_stream_transcription(
            **sdk_arguments(parameters)
        )
        return stream

    async def _send(self, events: AudioStream) -> None:
        """Have the SDK sign and encode what is to be sent."""
        while True:
            while self._events:
                pcm = self._events.popleft()
                await events.send_audio_event(audio_chunk=pcm)
                self._event_bytes -= len(pcm)
            if self._complete:
                await events.end_stream()  # type: ignore[no-untyped-call]  # the SDK leaves it so
                return
            self._written.clear()
            await self._written.wait()

    async def _listen(self, stream: StartStreamTranscriptionEventStream) -> None:
        """Tell what comes, up to the end."""
        end: EngineError | None = None
        events: AsyncIterator[object] = aiter(stream.output_stream)
        try:
            async for event in events:
                told = event.transcript.results if isinstance(event, TranscriptEvent) else ()
                self.receiver.deliver(told)
        except EngineError as error:
            end = error
        except ServiceException as error:
            end = to_engine_error(type(error).__name__, _text(error))
        except _UNREADABLE as error:
            why = type(error).__name__
            end = UnreadableEvent(f"Amazon Transcribe sent what cannot be read: {why}")
        except RecursionError:
            end = UnreadableEvent("Amazon Transcribe sent what is nested too deeply")
        if end is None:
            self.receiver.ended()
        else:
            self.receiver.failed(end)


class _Serializer(TranscribeStreamingSerializer):
    """The SDK's, with a body that can be watched, and the parameters that it does not know."""

    def __init__(self, body: Body, parameters: Mapping[str, str]) -> None:
        self._body = body
        self._parameters = parameters

    def serialize_start_stream_transcription_request(
        self, endpoint: str, request_shape: StartStreamTranscriptionRequest
    ) -> Request:
        """Return the request."""
        request = super().serialize_start_stream_transcription_request(endpoint, request_shape)
        request.body = self._body
        for name in _UNKNOWN & self._parameters.keys():
            request.headers[f"x-amzn-transcribe-{name}"] = self._parameters[name]
        return request


def sdk_arguments(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the service's parameters as the SDK's client takes them."""
    arguments: dict[str, Any] = {"language_code": None}
    for name, value in parameters.items():
        if name in _UNKNOWN:
            continue
        argument = _NAMES.get(name, name.replace("-", "_"))
        arguments[argument] = value.split(",") if name in _LISTS else value
    return arguments


def _refused(error: ServiceException) -> EngineError:
    """Return what it means that the stream was refused."""
    if isinstance(error, UnknownServiceException):
        return to_engine_error(str(error.error_code), _text(error), status=error.status_code)
    kind = type(error).__name__
    status = getattr(error, "status_code", None) or _STATUS.get(kind)
    return to_engine_error(kind, _text(error), status=status)


def _text(error: ServiceException) -> str:
    return str(getattr(error, "message", None) or error)
