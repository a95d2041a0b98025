"""The WebSocket to the service, on picows.

The URL is a secret, and the service repeats parts of it in its answer. So picows gets a logger
that says nothing, and what it raises is replaced, not chained: its exceptions hold the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
from typing import Protocol, cast

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from picows.common import WSHandshakeError, WSUpgradeRequest, WSUpgradeResponse

from speech.engines.errors import EngineError
from speech.engines.transcribe.errors import EndpointUnreachable, named, told_by_service

#: Longest event of the service, in bytes; those of long segments are some 20 KiB.
MAX_MESSAGE_BYTES = 1024 * 1024
#: What the kernel may hold for us, in bytes: 2 s of audio. More, and a frozen peer is noticed late.
SEND_BUFFER_BYTES = 64 * 1024
#: A peer gets so long to answer our close, in seconds.
CLOSE_SECONDS = 1.0
_READ_BUFFER_BYTES = 4096

_BINARY, _CONTINUATION, _CLOSE = WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE

_silent = logging.Logger("speech.engines.transcribe.picows", logging.CRITICAL + 1)  # noqa: LOG001 - belongs to no tree, so no handler ever gets a URL


class Receiver(Protocol):
    """Who is told what happens. Called on the event loop; must not raise."""

    def received(self, message: bytes) -> None:
        """Take one message."""

    def drained(self) -> None:
        """Learn that what waited in the transport went out."""

    def closed(self, code: int | None) -> None:
        """Learn that the connection is gone; `code` is the peer's, if it said good-bye."""


class WebSocketLink(WSListener):
    """One connection. `open` it, then `send`; in the end `close`."""

    def __init__(self) -> None:
        self.receiver: Receiver
        #: The service's name for the request, to ask its support about.
        self.request_id: str | None = None
        self._transport: WSTransport | None = None
        self._tcp: asyncio.Transport
        self._fragments = bytearray()
        self._code: int | None = None

    async def open(self, url: str, *, context: ssl.SSLContext | None, seconds: float) -> None:
        """Connect within `seconds`.

        Raises:
            EndpointUnreachable: there is no connection, or no answer.
            EngineError: the service refuses the handshake.
        """
        refusal: EngineError
        try:
            async with asyncio.timeout(seconds):
                await ws_connect(
                    self._answered,
                    url,
                    ssl_context=context,
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

    def send(self, message: bytes) -> None:
        """Send one message; what the kernel does not take waits in memory."""
        if self._transport is not None:
            self._transport.send(_BINARY, message)

    @property
    def waiting(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._tcp.get_write_buffer_size() if self._transport is not None else 0

    async def close(self) -> None:
        """Say good-bye and go; a peer that does not take it is cut off. May be called twice."""
        transport = self._transport
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

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand a message on; it may come in several frames."""
        kind = frame.msg_type
        if kind == _BINARY and frame.fin:
            self.receiver.received(frame.get_payload_as_bytes())
        elif kind in {_BINARY, _CONTINUATION}:
            if len(self._fragments) + frame.payload_size > MAX_MESSAGE_BYTES:
                transport.disconnect(graceful=False)
                return
            self._fragments += frame.get_payload_as_memoryview()
            if frame.fin:
                message = bytes(self._fragments)
                self._fragments.clear()
                self.receiver.received(message)
        elif kind == _CLOSE:
            self._code = int(cast("int", frame.get_close_code()))  # whatever its stub says
            transport.send_close(WSCloseCode.OK)
            transport.disconnect(graceful=not self.waiting)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell that the connection is gone."""
        del transport
        self.receiver.closed(self._code)

    def pause_writing(self) -> None:
        """Nothing: the session looks at `waiting` itself."""

    def resume_writing(self) -> None:
        """Tell that the peer reads again."""
        self.receiver.drained()


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
