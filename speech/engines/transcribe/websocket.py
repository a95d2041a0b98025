"""The way to the service by a WebSocket, on picows.

The URL is a secret, and the service repeats parts of it in its answer. So picows gets a logger
that says nothing, and what it raises is replaced, not chained: its exceptions hold the answer.

What tells a dead peer: one that stops reading fills the buffers between us, which can be minutes
of audio if its system is generous. So it is asked for a pong now and then (RFC 6455, section
5.5.2). A peer that has answered once and then leaves two pings unanswered, and says nothing else,
is lost. One that never answers any is left in peace: AWS does not say that its service does, and a
stream that works must not be cut for it. What a pong cannot tell is whether a recogniser is alive
behind the peer; that is what `Patience.answer` and `MUTE_SECONDS` are for.
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
    named,
    told_by_service,
)
from speech.engines.transcribe.link import Receiver
from speech.engines.transcribe.presign import presigned
from speech.engines.transcribe.wire import decode, encode_audio
from speech.transcribe_api import Operation

#: Longest event of the service, in bytes; those of long segments are some 20 KiB.
MAX_MESSAGE_BYTES = 1024 * 1024
#: What the kernel may hold for us, in bytes: 2 s of audio. More, and a frozen peer is noticed late.
SEND_BUFFER_BYTES = 64 * 1024
#: A peer gets so long to answer our close, in seconds.
CLOSE_SECONDS = 1.0
#: So many pings in a row may stay unanswered.
MAX_UNANSWERED = 2
_READ_BUFFER_BYTES = 4096

_BINARY, _CONTINUATION, _CLOSE = WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE
_PONG = WSMsgType.PONG
_NORMAL = 1000  # of an end in order, RFC 6455 section 7.4.1

_silent = logging.Logger("speech.engines.transcribe.picows", logging.CRITICAL + 1)  # noqa: LOG001 - belongs to no tree, so no handler ever gets a URL


class WebSocketTransport:
    """Makes links over WebSockets."""

    def __init__(
        self,
        *,
        region: str,
        endpoint: str | None,
        ca_bundle: Callable[[], str | None],
        ping: float,
    ) -> None:
        """Make a transport; nothing is connected yet.

        Args:
            region: of AWS.
            endpoint: base URL instead of the region's.
            ca_bundle: returns a file of the authorities to trust; may take a while.
            ping: how often a silent peer is asked for a sign of life, in seconds.

        Raises:
            ValueError: `endpoint` is no base URL.
        """
        self.region = region
        self.base = websocket_url(region, endpoint)
        self.ping = ping
        self._ca_bundle = ca_bundle
        self._context: ssl.SSLContext | None = None

    def link(self, operation: Operation) -> WebSocketLink:
        """Return the link of a new stream that is begun by `operation`, not open yet."""
        return WebSocketLink(self, operation)

    async def trust(self) -> ssl.SSLContext | None:
        """Return whom to trust; made once, for reading the authorities takes a while."""
        if self._context is None and self.base.startswith("wss:"):
            self._context = await asyncio.to_thread(
                lambda: ssl.create_default_context(cafile=self._ca_bundle())
            )
        return self._context


class WebSocketLink(WSListener):
    """One stream over a WebSocket. `open` it, then send; in the end `close`."""

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
        """Open the stream that `parameters` ask for, within `seconds`.

        Raises:
            EndpointUnreachable: there is no connection, or no answer.
            EngineError: the service refuses the handshake.
        """
        url = presigned(self._url, parameters, region=self._way.region, credentials=credentials)
        refusal: EngineError
        try:
            async with asyncio.timeout(seconds):
                await ws_connect(
                    self._answered,
                    url,
                    ssl_context=await self._way.trust(),
                    # Sooner than the whole, for picows does not take it well to be cancelled.
                    websocket_handshake_timeout=seconds / 2,
                    logger_name=_silent,
                    max_redirects=0,
                    max_frame_size=MAX_MESSAGE_BYTES,
                    read_buffer_init_size=_READ_BUFFER_BYTES,
                )
        except TimeoutError:
            refusal = EndpointUnreachable(f"Amazon Transcribe did not answer in {seconds:g} s")
        except WSError as error:
            refusal = _refused(error)
        except (OSError, ValueError) as error:
            why = told_by_service(getattr(error, "verify_message", "") or str(error))
            refusal = EndpointUnreachable(f"Amazon Transcribe cannot be reached: {why}")
        else:
            if self._transport is not None:
                return
            # picows takes a connection that is cut before the headers for one that is open
            refusal = EndpointUnreachable("Amazon Transcribe closed the connection unanswered")
        await self.close()
        raise refusal

    def send_audio(self, pcm: bytes) -> None:
        """Send an event of audio; what the kernel does not take waits in memory."""
        if self._transport is not None:
            self._transport.send(_BINARY, encode_audio(pcm))

    def end_audio(self) -> None:
        """Tell the service that the audio is complete, with an event without audio."""
        self.send_audio(b"")

    @property
    def waiting(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._tcp.get_write_buffer_size() if self._transport is not None else 0

    async def close(self) -> None:
        """Say good-bye and go; a peer that does not take it is cut off. May be called twice."""
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
        """Hand a message on; it may come in several frames."""
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
        """Tell that the connection is gone."""
        del transport
        self._stop_pinging()
        if self._code == _NORMAL:
            self.receiver.on_end()
        elif self._code is None:
            self.receiver.on_failure(ConnectionLost("the connection to Amazon Transcribe was lost"))
        else:
            self.receiver.on_failure(
                ConnectionLost(f"Amazon Transcribe closed the connection (code {self._code})")
            )

    def pause_writing(self) -> None:
        """Nothing: the session looks at `waiting` itself."""

    def resume_writing(self) -> None:
        """Tell that the peer reads again."""
        self.receiver.on_drained()

    # --- private --------------------------------------------------------------------------------

    def _receive(self, message: bytes) -> None:
        try:
            results = decode(message)
        except EngineError as error:
            self.receiver.on_failure(error)
        else:
            self.receiver.on_results(results)

    def _ping(self) -> None:
        """Ask for a sign of life, or cut off a peer that used to give one."""
        transport = self._transport
        if transport is None or transport.is_disconnected or transport.is_close_frame_sent:
            return
        if self._answers_pings and self._unanswered >= MAX_UNANSWERED:
            transport.disconnect(graceful=False)
            return
        if not self.waiting:  # else the stall timeout has an eye on it
            self._unanswered += 1
            transport.send_ping()
        self._pinging = asyncio.get_running_loop().call_later(self._way.ping, self._ping)

    def _stop_pinging(self) -> None:
        if self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None


def _refused(error: WSError) -> EngineError:
    """Return what it means that the handshake did not succeed."""
    response = error.response if isinstance(error, WSHandshakeError) else None
    if response is None:
        return EndpointUnreachable("Amazon Transcribe did not answer as a WebSocket server does")
    kind = response.headers.get("x-amzn-errortype", "")
    text = ""
    body = getattr(error, "raw_body", None)
    if body:
        try:
            told = json.loads(body)
            text = str(told.get("Message") or told.get("message") or "")
            kind = kind or str(told.get("__type") or "")
        except (ValueError, AttributeError):
            pass  # it need not be JSON: a proxy may have answered
    return named(kind, text, status=int(response.status))
