"""The transport over a WebSocket, by picows.

The URL is a secret, and the service repeats parts of it in its answer. So picows gets a logger
without output, and its exceptions, which contain the answer, are replaced rather than chained.

Detection of a dead peer: a peer that stops reading fills the buffers of the connection, which can
hold minutes of audio. So the link sends pings (RFC 6455, section 5.5.2). A peer that has answered
one and then leaves two pings unanswered, and sends nothing else, is lost. A peer that never answers
pings is not cut off: AWS does not document that its service does, and a working stream must not end
for it. A pong does not show that a recogniser works behind the peer; `Patience.answer` and
`MUTE_SECONDS` do that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import cast

from botocore.credentials import ReadOnlyCredentials
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from picows.common import WSHandshakeError, WSUpgradeRequest, WSUpgradeResponse

from speech.engines.errors import EngineError
from speech.engines.transcribe.endpoints import websocket_url
from speech.engines.transcribe.errors import (
    ConnectionLost,
    EndpointUnreachable,
    redact,
    to_engine_error,
)
from speech.engines.transcribe.link import Receiver
from speech.engines.transcribe.presign import presign
from speech.engines.transcribe.wire import decode, encode_audio
from speech.transcribe_api import Operation

#: The longest event of the service, in bytes. Those of long segments have some 20 KiB.
MAX_MESSAGE_BYTES = 1024 * 1024
#: The kernel's send buffer in bytes, 2 s of audio. A larger one would hide a dead peer longer.
SEND_BUFFER_BYTES = 64 * 1024
#: The timeout for the peer's close, in seconds.
CLOSE_SECONDS = 1.0
#: The most consecutive pings without an answer.
MAX_UNANSWERED = 2
_READ_BUFFER_BYTES = 4096

_BINARY, _CONTINUATION, _CLOSE = WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE
_PONG = WSMsgType.PONG
_NORMAL = 1000  # normal closure, RFC 6455 section 7.4.1

_silent = logging.Logger("speech.engines.transcribe.picows", logging.CRITICAL + 1)  # noqa: LOG001 - belongs to no tree, so no handler ever gets a URL


class WebSocketTransport:
    """Creates links over WebSockets."""

    def __init__(
        self,
        *,
        region: str,
        endpoint: str | None,
        ca_bundle: Callable[[], str | None],
        ping: float,
    ) -> None:
        """Create a transport without connecting.

        Args:
            region: the AWS region.
            endpoint: a base URL in place of the region's.
            ca_bundle: returns the file of trusted authorities; may take a while.
            ping: the interval of pings to a silent peer, in seconds.

        Raises:
            ValueError: `endpoint` is no base URL.
        """
        self.region = region
        self.base = websocket_url(region, endpoint)
        self.ping = ping
        self._ca_bundle = ca_bundle
        self._context: ssl.SSLContext | None = None

    def link(self, operation: Operation) -> WebSocketLink:
        """Return a link, not open yet, for a new stream of `operation`."""
        return WebSocketLink(self, operation)

    async def create_context(self) -> ssl.SSLContext | None:
        """Return the TLS context, created once because reading the authorities takes a while."""
        if self._context is None and self.base.startswith("wss:"):
            self._context = await asyncio.to_thread(
                lambda: ssl.create_default_context(cafile=self._ca_bundle())
            )
        return self._context


class WebSocketLink(WSListener):
    """One stream over a WebSocket: `open` it, send, and finally `close` it."""

    receiver: Receiver

    def __init__(self, way: WebSocketTransport, operation: Operation) -> None:
        self.request_id: str | None = None
        self._way = way
        self._url = way.base + operation.websocket_path
        self._transport: WSTransport | None = None
        self._tcp: asyncio.Transport
        self._fragments = bytearray()
        self._code: int | None = None
        self._pinging: asyncio.TimerHandle | None = None
        self._answers_pings = False
        self._unanswered = 0

    async def open(
        self, parameters: Mapping[str, str], credentials: ReadOnlyCredentials, *, seconds: float
    ) -> None:
        """Open the stream of `parameters` within `seconds`.

        Raises:
            EndpointUnreachable: there is no connection, or no answer.
            EngineError: the service refuses the handshake.
        """
        url = presign(self._url, parameters, region=self._way.region, credentials=credentials)
        refusal: EngineError
        try:
            async with asyncio.timeout(seconds):
                await ws_connect(
                    self._answered,
                    url,
                    ssl_context=await self._way.create_context(),
                    # Before our own timeout, because cancelling picows is not safe.
                    websocket_handshake_timeout=seconds / 2,
                    logger_name=_silent,
                    max_redirects=0,
                    max_frame_size=MAX_MESSAGE_BYTES,
                    read_buffer_init_size=_READ_BUFFER_BYTES,
                )
        except TimeoutError:
            refusal = EndpointUnreachable(f"Amazon Transcribe did not answer in {seconds:g} s")
        except WSError as error:
            refusal = _to_refusal(error)
        except (OSError, ValueError) as error:
            why = redact(getattr(error, "verify_message", "") or str(error))
            refusal = EndpointUnreachable(f"Amazon Transcribe cannot be reached: {why}")
        else:
            if self._transport is not None:
                return
            # picows reports a connection that is cut before the headers as open.
            refusal = EndpointUnreachable("Amazon Transcribe closed the connection unanswered")
        await self.close()
        raise refusal

    def send_audio(self, pcm: bytes) -> None:
        """Send an event of audio; bytes that the kernel does not take are buffered."""
        if self._transport is not None:
            self._transport.send(_BINARY, encode_audio(pcm))

    def end_audio(self) -> None:
        """Send the empty event that ends the audio."""
        self.send_audio(b"")

    @property
    def waiting(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._tcp.get_write_buffer_size() if self._transport is not None else 0

    async def close(self) -> None:
        """Close the connection; cut off a peer that does not answer. Idempotent."""
        transport = self._transport
        self._stop_pinging()
        if transport is None or transport.is_disconnected:
            return
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        transport.disconnect(graceful=not self.waiting)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await transport.wait_disconnected()
        if not transport.is_disconnected:
            transport.disconnect(graceful=False)

    # --- called by picows -----------------------------------------------------------------------

    def _answered(self, request: WSUpgradeRequest, response: WSUpgradeResponse) -> WebSocketLink:
        del request
        self.request_id = response.headers.get("x-amzn-request-id")
        return self

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self._transport = transport
        self._tcp = transport.underlying_transport
        peer = self._tcp.get_extra_info("socket")
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._ping()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass on a message, which may have several frames."""
        kind = frame.msg_type
        self._unanswered = 0
        if kind == _BINARY and frame.fin:
            self._receive(frame.get_payload_as_bytes())
        elif kind in {_BINARY, _CONTINUATION}:
            if len(self._fragments) + frame.payload_size > MAX_MESSAGE_BYTES:
                transport.disconnect(graceful=False)
                return
            self._fragments += frame.get_payload_as_memoryview()
            if frame.fin:
                message = bytes(self._fragments)
                self._fragments.clear()
                self._receive(message)
        elif kind == _PONG:
            self._answers_pings = True
        elif kind == _CLOSE:
            self._code = int(cast("int", frame.get_close_code()))  # whatever its stub says
            transport.send_close(WSCloseCode.OK)
            transport.disconnect(graceful=not self.waiting)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Report the end of the connection."""
        del transport
        self._stop_pinging()
        if self._code == _NORMAL:
            self.receiver.ended()
        elif self._code is None:
            self.receiver.failed(ConnectionLost("the connection to Amazon Transcribe was lost"))
        else:
            self.receiver.failed(
                ConnectionLost(f"Amazon Transcribe closed the connection (code {self._code})")
            )

    def pause_writing(self) -> None:
        """Do nothing: the session checks `waiting` itself."""

    def resume_writing(self) -> None:
        """Report that the peer reads again."""
        self.receiver.drained()

    # --- private --------------------------------------------------------------------------------

    def _receive(self, message: bytes) -> None:
        try:
            results = decode(message)
        except EngineError as error:
            self.receiver.failed(error)
        else:
            self.receiver.deliver(results)

    def _ping(self) -> None:
        """Send a ping, or cut off a peer that has stopped answering."""
        transport = self._transport
        if transport is None or transport.is_disconnected or transport.is_close_frame_sent:
            return
        if self._answers_pings and self._unanswered >= MAX_UNANSWERED:
            transport.disconnect(graceful=False)
            return
        if not self.waiting:  # or the stall timeout applies
            self._unanswered += 1
            transport.send_ping()
        self._pinging = asyncio.get_running_loop().call_later(self._way.ping, self._ping)

    def _stop_pinging(self) -> None:
        if self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None


def _to_refusal(error: WSError) -> EngineError:
    """Convert the failure of a handshake."""
    response = error.response if isinstance(error, WSHandshakeError) else None
    if response is None:
        return EndpointUnreachable("Amazon Transcribe did not answer as a WebSocket server does")
    kind = response.headers.get("x-amzn-errortype", "")
    text = ""
    body = getattr(error, "raw_body", None)
    if body:
        try:
            answer = json.loads(body)
            text = str(answer.get("Message") or answer.get("message") or "")
            kind = kind or str(answer.get("__type") or "")
        except (ValueError, AttributeError):
            pass  # a proxy may answer without JSON
    return to_engine_error(kind, text, status=int(response.status))
