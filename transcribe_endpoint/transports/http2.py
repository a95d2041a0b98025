"""The HTTP/2 transport: event streams in both directions, several on one connection.

A stream is a POST to the path of its operation, with the parameters as headers. Its body is a
sequence of signed envelopes, each around one AudioEvent; an empty envelope ends the audio. The
response is a sequence of TranscriptEvents or, where the stream is refused, a status with
`x-amzn-errortype` and a message in JSON.

    async with serve_http2(service, context=certificates.server_context()) as port: ...

A client that negotiates HTTP/1.1, as boto3 does, is passed to `http1` for its call.

A peer's use of memory is bounded: audio by the windows of HTTP/2, which open again as the session
takes it; transcripts by `MAX_WAITING_BYTES`, beyond which a stream is reset; control frames by
reading nothing from a peer that does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import NoSuchStreamError, ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame

from speech.transcribe_operations import OPERATIONS
from transcribe_endpoint.errors import (
    BadRequest,
    ServiceError,
    ServiceUnavailable,
    UnknownOperation,
)
from transcribe_endpoint.requests import TranscribeRequest
from transcribe_endpoint.signatures import ChunkVerifier, SignatureError, verify_headers
from transcribe_endpoint.streams.events import SignedAudio
from transcribe_endpoint.streams.session import StreamSession, TranscribeService
from transcribe_endpoint.transports.http1 import Http1
from transcribe_endpoint.vocabularies.operations import Fetch, VocabularyOperations

_BY_PATH: Final = {operation.path: operation for operation in OPERATIONS}

#: The window of a connection, bytes; each stream has HTTP/2's own of 64 KiB.
CONNECTION_WINDOW: Final = 1024 * 1024
MAX_STREAMS_PER_CONNECTION: Final = 100
#: Bytes that may wait for a client to take them, per stream.
MAX_WAITING_BYTES: Final = 1024 * 1024
#: How long a connection may carry no stream, seconds.
IDLE_CONNECTION_SECONDS: Final = 60.0
#: How long a client may go on with a stream that was answered completely, seconds.
LINGER_SECONDS: Final = 10.0
#: A peer that takes nothing for this long is cut off, seconds.
STUCK_SECONDS: Final = 30.0
#: How long a handshake may take, and how long a close, seconds.
HANDSHAKE_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0

Headers = list[tuple[str, str]]


@contextlib.asynccontextmanager
async def serve_http2(
    service: TranscribeService,
    *,
    context: ssl.SSLContext,
    host: str = "127.0.0.1",
    port: int = 0,
    fetch: Fetch | None = None,
) -> AsyncIterator[int]:
    """Serve the HTTP/2 API, and calls over HTTP/1.1; yield the port.

    Leaving ends what is open: streams with `ServiceUnavailableException`, connections with a
    GOAWAY, and after `CLOSE_SECONDS` by force.

    Args:
        service: answers the streams.
        context: must offer `h2`.
        host: the address to listen on.
        port: the port to listen on; 0 is a free one.
        fetch: reads files in S3 for calls that name one; None refuses them.

    Raises:
        OSError: the port is taken.
    """
    connections: set[Http2Connection] = set()
    http1 = Http1(service, VocabularyOperations(service.vocabularies, fetch))
    server = await asyncio.get_running_loop().create_server(
        lambda: Http2Connection(service, connections, http1),
        host,
        port,
        ssl=context,
        ssl_handshake_timeout=HANDSHAKE_SECONDS,
        ssl_shutdown_timeout=CLOSE_SECONDS,
    )
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        ending = tuple(connections)
        for connection in ending:
            connection.shut_down()
        if ending:
            await asyncio.wait({each.closed for each in ending}, timeout=CLOSE_SECONDS)
        for connection in tuple(connections):
            connection.abort()
        await http1.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await server.wait_closed()


# --- connections --------------------------------------------------------------------------


class _Protocol(H2Connection):
    """h2's protocol, in which streams survive a GOAWAY of the peer with NO_ERROR.

    h2 takes any GOAWAY for the end of the connection (python-hyper/h2, issue 1181). Node's
    client sends one with NO_ERROR as soon as it has the response's headers.
    """

    #: Whether the peer will open no more streams.
    leaving = False

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        if frame.error_code != ErrorCodes.NO_ERROR:
            return super()._receive_goaway_frame(frame)
        self.leaving = True
        return [], []


@dataclass(slots=True, eq=False)
class _Stream:
    """One stream of a connection; for its session, the connection."""

    connection: Http2Connection
    id: int
    #: None for a stream that was refused.
    session: StreamSession | None = None
    audio: SignedAudio | None = None
    #: Whether the response's headers are sent.
    begun: bool = False
    #: Whether nothing more is added to what waits to be sent, and whether all of it was sent.
    finished: bool = False
    answered: bool = False
    #: Whether a fault has stopped all reading.
    frozen: bool = False
    timer: asyncio.TimerHandle | None = None

    def send(self, frame: bytes) -> None:
        self.connection.send(self, frame)

    def finish(self) -> None:
        self.connection.finish(self)

    def abort(self) -> None:
        self.connection.abort()

    def freeze(self) -> None:
        self.frozen = True


class Http2Connection(asyncio.Protocol):
    """A client's connection and the streams on it.

    Args:
        service: answers the streams.
        connections: holds this connection while it is open.
        http1: takes over connections that do not speak HTTP/2.
    """

    _transport: asyncio.Transport

    def __init__(
        self, service: TranscribeService, connections: set[Http2Connection], http1: Http1
    ) -> None:
        self._service = service
        self._http1 = http1
        self._connections = connections
        self._h2 = _Protocol(H2Configuration(client_side=False, header_encoding=None))
        self._streams: dict[int, _Stream] = {}
        self._waiting: dict[int, bytearray] = {}
        self._loop = asyncio.get_running_loop()
        self._writable = True
        self._idle: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        #: Done when the connection is.
        self.closed: asyncio.Future[None] = self._loop.create_future()

    # --- asyncio's side -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin HTTP/2, or pass the connection on where HTTP/1.1 was negotiated."""
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            self._http1.adopt(self._transport)
            return
        self._connections.add(self)
        self._h2.initiate_connection()
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS_PER_CONNECTION})
        self._h2.increment_flow_control_window(
            CONNECTION_WINDOW - self._h2.inbound_flow_control_window
        )
        self._flush()
        self._await_streams()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        try:
            events = self._h2.receive_data(data)
        except ProtocolError:
            self._flush()  # h2 has prepared a GOAWAY that says why
            self._transport.close()
            return
        for event in events:
            self._handle(event)
        self._flush()

    def eof_received(self) -> None:
        """Close the connection, because the client has closed its side."""

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read, so that answers do not pile up."""
        self._writable = False
        self._transport.pause_reading()
        self._stuck = self._loop.call_later(STUCK_SECONDS, self._transport.abort)

    def resume_writing(self) -> None:
        """Read and send again."""
        self._writable = True
        if self._stuck is not None:
            self._stuck.cancel()
        self._transport.resume_reading()
        self._pump_all()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - any reason is handled alike
        """End the streams that were open."""
        for stream in tuple(self._streams.values()):
            self._forget(stream)
        for timer in (self._idle, self._stuck):
            if timer is not None:
                timer.cancel()
        self._connections.discard(self)
        if not self.closed.done():
            self.closed.set_result(None)

    # --- for the server -------------------------------------------------------------------

    def shut_down(self) -> None:
        """End all streams with an exception, and the connection."""
        for stream in tuple(self._streams.values()):
            if stream.session is not None:
                stream.session.fail(ServiceUnavailable("The service is shutting down."))
        self._close()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # --- what the client sends --------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._begin(event.stream_id, _decode_headers(event.headers))
            case DataReceived():
                self._take(event)
            case StreamEnded():
                self._end_request(event.stream_id)
            case StreamReset():
                if event.stream_id in self._streams:
                    self._forget(self._streams[event.stream_id])
            case WindowUpdated() | RemoteSettingsChanged():
                self._pump_all()
            case ConnectionTerminated():
                self._transport.close()
            case _:
                pass  # acknowledgements, pings and priorities need nothing from us

    def _begin(self, stream_id: int, headers: Mapping[str, str]) -> None:
        """Answer a request."""
        if self._idle is not None:
            self._idle.cancel()
        stream = _Stream(self, stream_id)
        others = tuple(self._streams.values())
        self._streams[stream_id] = stream
        self._waiting[stream_id] = bytearray()
        try:
            request = self._accept(stream, headers, others)
        except ServiceError as refusal:
            self._refuse(stream, refusal)
            return
        response = [
            (":status", "200"),
            ("content-type", "application/vnd.amazon.eventstream"),
            *request.response_headers().items(),
        ]
        self._answer(stream, response)

    def _accept(
        self, stream: _Stream, headers: Mapping[str, str], others: Iterable[_Stream]
    ) -> TranscribeRequest:
        """Open the session of a stream.

        Raises:
            ServiceError: the stream is refused.
        """
        method = headers.get(":method", "")
        path, _, query = headers.get(":path", "").partition("?")
        operation = _BY_PATH.get(path)
        if method != "POST" or operation is None:
            raise UnknownOperation(f"There is only POST {' and '.join(_BY_PATH)} here.")
        signer = verify_headers(
            method, path, query, headers, secrets=self._service.secrets, now=_now()
        )
        request = TranscribeRequest.parse(headers, operation)
        if self._service.faults.one_stream_per_connection and any(
            other.session is not None and not other.session.over for other in others
        ):
            raise BadRequest("Only one stream per HTTP/2 connection is supported.")
        stream.audio = SignedAudio(ChunkVerifier(signer))
        stream.session = self._service.open(request, stream)
        return request

    def _take(self, event: DataReceived) -> None:
        """Pass the audio in a DATA frame to the session."""
        stream = self._streams.get(event.stream_id)
        size = event.flow_controlled_length
        if stream is not None and stream.frozen:
            # The window of the stream fills, but the other streams of the connection go on.
            if size:
                self._h2.increment_flow_control_window(size)
            return
        self._h2.acknowledge_received_data(size, event.stream_id)
        if stream is None or stream.session is None or stream.audio is None:
            return
        session = stream.session
        try:
            for audio in stream.audio.feed(event.data, now=_now()):
                session.audio(audio)
                if session.over or stream.frozen:
                    return
        except BadRequest as error:
            session.fail(error)
        except SignatureError as error:
            session.fail(BadRequest(str(error)))  # as the service does

    def _end_request(self, stream_id: int) -> None:
        """Handle the client's end of a stream."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if stream.answered:
            self._forget(stream)
        elif stream.session is not None:
            stream.session.cut_short()

    # --- what is sent to the client -----------------------------------------------------------

    def _refuse(self, stream: _Stream, refusal: ServiceError) -> None:
        """Refuse a stream by a status, with the reason in the form that the SDKs parse."""
        body = json.dumps({"Message": str(refusal)}).encode()
        response = [
            (":status", str(refusal.status)),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("x-amzn-errortype", refusal.error_type),
            ("x-amzn-request-id", str(uuid.uuid4())),
        ]
        self._waiting[stream.id] += body
        self.finish(stream)
        self._answer(stream, response)

    def _answer(self, stream: _Stream, response: Headers) -> None:
        """Send the headers of a response, then what waits."""
        try:
            self._h2.send_headers(stream.id, response)
        except ProtocolError:  # the client has reset it meanwhile
            self._forget(stream)
            return
        stream.begun = True
        self._pump(stream)

    def send(self, stream: _Stream, frame: bytes) -> None:
        """Send a frame of the event stream as soon as the client takes it."""
        waiting = self._waiting.get(stream.id)
        if waiting is None or stream.finished:
            return
        waiting += frame
        if len(waiting) > MAX_WAITING_BYTES:
            # Later, because the session is in the middle of a call.
            stream.finished = True
            self._loop.call_soon(self._reset, stream)
            return
        self._pump(stream)
        self._flush()

    def finish(self, stream: _Stream) -> None:
        """End the response after the queued frames; give the client a while to end the request."""
        if stream.id not in self._streams:
            return
        stream.finished = True
        if stream.timer is None:
            stream.timer = self._loop.call_later(LINGER_SECONDS, self._reset, stream)
        self._pump(stream)
        self._flush()

    def _pump_all(self) -> None:
        for stream in tuple(self._streams.values()):
            self._pump(stream)

    def _pump(self, stream: _Stream) -> None:
        """Send as much of what waits as the client's windows and the socket take."""
        waiting = self._waiting.get(stream.id)
        if waiting is None or not stream.begun or stream.answered or not self._writable:
            return
        try:
            while waiting:
                size = min(
                    len(waiting),
                    self._h2.local_flow_control_window(stream.id),
                    self._h2.max_outbound_frame_size,
                )
                if size <= 0:
                    return
                self._h2.send_data(stream.id, bytes(waiting[:size]))
                del waiting[:size]
            if stream.finished:
                self._h2.end_stream(stream.id)
                stream.answered = True
        except NoSuchStreamError:  # the client has reset it meanwhile
            self._forget(stream)
            return
        if stream.answered and self._is_over(stream):
            self._forget(stream)

    def _is_over(self, stream: _Stream) -> bool:
        """Return whether both sides have ended a stream."""
        found = self._h2.streams.get(stream.id)
        return found is None or found.closed

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    # --- ends -----------------------------------------------------------------------------

    def _reset(self, stream: _Stream) -> None:
        """Reset a stream whose client does not end it, or does not read."""
        if stream.id in self._streams:
            code = ErrorCodes.NO_ERROR if stream.answered else ErrorCodes.ENHANCE_YOUR_CALM
            with contextlib.suppress(ProtocolError):  # it is over already
                self._h2.reset_stream(stream.id, code)
            self._forget(stream)
            self._flush()

    def _forget(self, stream: _Stream) -> None:
        """Remove a stream that is over, or whose client is gone."""
        if self._streams.pop(stream.id, None) is None:
            return
        del self._waiting[stream.id]
        if stream.timer is not None:
            stream.timer.cancel()
        if stream.session is not None:
            stream.session.lost()
        if not self._streams:
            self._await_streams()

    def _await_streams(self) -> None:
        """Close the connection later unless a stream is opened; at once after a GOAWAY."""
        if not self._transport.is_closing():
            patience = 0.0 if self._h2.leaving else IDLE_CONNECTION_SECONDS
            self._idle = self._loop.call_later(patience, self._close)

    def _close(self) -> None:
        with contextlib.suppress(ProtocolError):  # closed already
            self._h2.close_connection()
        self._flush()
        self._transport.close()


def _decode_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name; one that comes several times has its values joined by commas."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        # Bytes that are no UTF-8 match no parameter and no signature.
        name, value = raw_name.decode(errors="replace"), raw_value.decode(errors="replace")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _now() -> datetime:
    return datetime.now(UTC)
