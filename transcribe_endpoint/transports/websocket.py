"""The WebSocket transport: a presigned address, then event-stream messages in binary frames.

Like the service, it accepts the upgrade and sends a refusal as an exception in the first message.
Only the fault `refuse` answers the upgrade itself with an HTTP status.

A client may put each message into a signed envelope; the browser's SDK does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import structlog
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from speech.transcribe_operations import OPERATIONS
from transcribe_endpoint.errors import BadRequest, InternalFailure, ServiceError, ServiceUnavailable
from transcribe_endpoint.requests import TranscribeRequest
from transcribe_endpoint.signatures import ChunkVerifier, Signer, verify_presigned
from transcribe_endpoint.streams.events import (
    exception_frame,
    payload_of,
    read_audio_event,
    read_messages,
)
from transcribe_endpoint.streams.session import StreamSession, TranscribeService

_BY_PATH: Final = {operation.websocket_path: operation for operation in OPERATIONS}
#: Bytes of one message at most; an event holds a second of audio.
MAX_MESSAGE_BYTES: Final = 256 * 1024
#: Bytes that may wait for a client that does not read, besides what the kernel buffers.
MAX_WAITING_BYTES: Final = 1024 * 1024
#: The kernel's buffer for a client's data, bytes: with a larger one a client would not notice an
#: endpoint that has stopped reading.
RECEIVE_BUFFER: Final = 64 * 1024
#: The buffer that the server allocates for each connection, bytes; it grows for larger frames.
READ_BUFFER: Final = 8 * 1024
#: A closing client gets this long to answer the close, in seconds.
CLOSE_SECONDS: Final = 2.0
BACKLOG: Final = 1024

_BINARY, _CONTINUATION = WSMsgType.BINARY, WSMsgType.CONTINUATION

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def serve_websocket(
    service: TranscribeService,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Serve inside the context; its value is the port.

    Leaving ends open streams with `ServiceUnavailableException`, after `CLOSE_SECONDS` by force.

    Args:
        service: answers the streams.
        host: the address to listen on.
        port: 0 takes a free one.
        tls: the server's certificate; None serves `ws:` instead of `wss:`.

    Raises:
        OSError: it cannot listen there.
    """
    # picows logs clients that break the protocol as errors; our own errors are logged here.
    logging.getLogger("picows").setLevel(logging.CRITICAL)
    upgrades = _Upgrades(service)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        listener.bind((host, port))
        server = await ws_create_server(
            upgrades,
            sock=listener,
            ssl=tls,
            backlog=BACKLOG,
            max_frame_size=MAX_MESSAGE_BYTES,
            read_buffer_init_size=READ_BUFFER,
        )
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.close()
            await upgrades.close()


class _Upgrades:
    """Answers each upgrade request; the server's factory of listeners."""

    def __init__(self, service: TranscribeService) -> None:
        self._service = service
        self._sockets: set[_Socket] = set()

    def __call__(self, raw: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        path, _, query = raw.path.decode("latin-1").partition("?")
        if path not in _BY_PATH:
            return _refused(HTTPStatus.NOT_FOUND, "UnknownOperationException", "No such operation.")
        if "sec-websocket-key" not in raw.headers:
            return _refused(
                HTTPStatus.UPGRADE_REQUIRED, "BadRequestException", "This is a WebSocket endpoint."
            )
        connection = raw.headers.get("Connection", "").lower()
        if "upgrade" in (token.strip() for token in connection.split(",")):
            # picows checks it after this and accepts no list of tokens; Firefox sends one.
            raw.headers["Connection"] = "Upgrade"
        headers = {name.lower(): value for name, value in raw.headers.items()}
        tcp = _Socket(self._sockets)
        answer: dict[str, str] = {}
        try:
            answer = self._open(tcp, path, query, headers)
        except ServiceError as error:
            if error.at_handshake:
                return _refused(HTTPStatus(error.status), error.error_type, str(error))
            tcp.refusal = exception_frame(error.error_type, str(error))
        except Exception:
            log.exception("request_failed")
            tcp.refusal = exception_frame(InternalFailure.error_type, "The endpoint failed.")
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(answer), tcp)

    def _open(self, tcp: _Socket, path: str, query: str, headers: dict[str, str]) -> dict[str, str]:
        """Begin the requested stream; return the headers of the response.

        Raises:
            ServiceError: the stream is refused.
        """
        signer = verify_presigned(
            "GET", path, query, headers, secrets=self._service.secrets, now=datetime.now(UTC)
        )
        parts = (part.partition("=") for part in query.split("&"))
        parameters = {unquote(name): unquote(value) for name, _, value in parts}
        request = TranscribeRequest.parse(parameters, _BY_PATH[path])
        tcp.serve(self._service.open(request, tcp), signer)
        return request.response_headers()

    async def close(self) -> None:
        """End every stream, and cut the connections that remain."""
        leaving = tuple(self._sockets)
        for tcp in leaving:
            tcp.dismiss()
        if leaving:
            await asyncio.wait([tcp.gone for tcp in leaving], timeout=CLOSE_SECONDS)
        for tcp in tuple(self._sockets):
            tcp.abort()


class _Socket(WSListener):
    """One client's WebSocket."""

    def __init__(self, sockets: set[_Socket]) -> None:
        #: The encoded exception that refuses the stream.
        self.refusal: bytes | None = None
        #: Done when the client is disconnected.
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sockets = sockets
        self._session: StreamSession | None = None
        self._chain: ChunkVerifier | None = None
        self._transport: WSTransport | None = None
        self._tcp: asyncio.Transport
        self._fragments = bytearray()
        self._closing: asyncio.TimerHandle | None = None

    # --- for upgrades and the session -------------------------------------------------------

    def serve(self, session: StreamSession, signer: Signer) -> None:
        """Serve a stream; `signer` has signed its envelopes, where it has any."""
        self._session = session
        self._chain = ChunkVerifier(signer)
        # picows checks the rest of the handshake after this, and reports only a success.
        asyncio.get_running_loop().call_soon(self._check_upgrade)

    def send(self, frame: bytes) -> None:
        """Send one message; cut off a client that is too far behind."""
        if self._transport is None:
            return
        if self._tcp.get_write_buffer_size() > MAX_WAITING_BYTES:
            self.abort()
        else:
            self._transport.send(_BINARY, frame)

    def finish(self) -> None:
        """Close gracefully."""
        if self._transport is not None and not self._transport.is_close_frame_sent:
            self._transport.send_close(WSCloseCode.OK)
            loop = asyncio.get_running_loop()
            self._closing = loop.call_later(CLOSE_SECONDS, self.abort)

    def dismiss(self) -> None:
        """End the stream, because the server ends; cut one that has stalled."""
        if self._session is not None:
            self._session.fail(ServiceUnavailable("The endpoint is shutting down."))
            if not self._session.over:
                self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def freeze(self) -> None:
        """Stop reading."""
        if self._transport is not None:
            self._tcp.pause_reading()

    # --- called by picows ---------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin; send the refusal of a refused stream and close."""
        self._transport = transport
        self._tcp = transport.underlying_transport
        self._sockets.add(self)
        if self.refusal is not None:
            self.send(self.refusal)
            self.finish()
        elif self._session is None or self._session.over:
            self.finish()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame; a message may come in several."""
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self._lost()
            if not transport.is_close_frame_sent:
                transport.send_close(WSCloseCode.OK)
            transport.disconnect()
            return
        session = self._session
        if session is None or session.over or kind in {WSMsgType.PING, WSMsgType.PONG}:
            return
        try:
            if kind == WSMsgType.TEXT:
                raise BadRequest("Only binary messages are expected.")  # noqa: TRY301 - one way out
            message = self._assembled(frame)
            if message is not None:
                self._take(session, message)
        except ServiceError as error:
            session.fail(error)
        except Exception:
            log.exception("message_failed")
            session.fail(InternalFailure("The endpoint failed; this was logged."))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note that the client is gone."""
        del transport
        self._transport = None
        self._sockets.discard(self)
        if not self.gone.done():
            self.gone.set_result(None)
        if self._closing is not None:
            self._closing.cancel()
        self._lost()

    def pause_writing(self) -> None:
        """Nothing: `send` looks at the buffer itself."""

    def resume_writing(self) -> None:
        """Nothing, likewise."""

    # --- private ----------------------------------------------------------------------------

    def _check_upgrade(self) -> None:
        """End a stream whose handshake picows has refused."""
        if self._transport is None:
            self._lost()

    def _lost(self) -> None:
        if self._session is not None:
            self._session.lost()

    def _assembled(self, frame: WSFrame) -> bytes | None:
        """Return the message that ends with this frame, RFC 6455 section 5.4.

        Raises:
            BadRequest: it grows too long.
        """
        if frame.fin and frame.msg_type == _BINARY:
            return frame.get_payload_as_bytes()
        if len(self._fragments) + frame.payload_size > MAX_MESSAGE_BYTES:
            raise BadRequest("The message is too long.")
        self._fragments += frame.get_payload_as_memoryview()
        if not frame.fin or frame.msg_type != _CONTINUATION:
            return None
        message = bytes(self._fragments)
        self._fragments.clear()
        return message

    def _take(self, session: StreamSession, message: bytes) -> None:
        """Take a message: an AudioEvent, with or without an envelope; an empty one is the end.

        Raises:
            BadRequest: it is malformed.
            SignatureError: the envelope's signature is not valid.
        """
        if not message:
            session.audio(b"")
            return
        for event in read_messages(message):
            if ":chunk-signature" not in event.headers:
                session.audio(read_audio_event(event))
                continue
            sealed = payload_of(event)
            if self._chain is not None:
                self._chain.verify(event.headers, sealed, now=datetime.now(UTC))
            if not sealed:
                session.audio(b"")
            for audio in read_messages(sealed):
                session.audio(read_audio_event(audio))


def _refused(status: HTTPStatus, error_type: str, message: str) -> WSUpgradeResponseWithListener:
    body = json.dumps({"Message": message}).encode()
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": error_type}
    response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)
