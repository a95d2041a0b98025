"""One WebSocket, as the protocols in this folder see it.

A `Connection` is called back for every message and never waits: neither for a slow reader,
which is closed when too much waits for it, nor in a task of its own per message, which would
cost more than all that is done with an audio message. Its `serve` coroutine spans the
connection's life; `end` makes it return.

Sockets are picows', measured as the cheapest per message (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Literal, cast

import structlog
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from ecs_service import telemetry
from ecs_service.refusal import Refusal
from transcripts.models import Model
from transcripts.protocol import CLOSE_NORMAL, MAX_FRAME_BYTES, ErrorCode, encode

#: A frame beyond this is cut off by the transport with close code 1009. Twice the protocol's
#: limit, so that what is only a little too long gets a named error.
MAX_TRANSPORT_FRAME_BYTES = 2 * MAX_FRAME_BYTES
#: Bytes that may wait for one reader, besides what the kernel buffers.
MAX_WAITING_BYTES = 1024 * 1024
#: A closing peer gets this long to read the rest and to answer the close, in seconds.
CLOSE_SECONDS = 2.0

#: Why a connection ends without an error.
End = Literal["stopped", "max_duration", "draining", "disconnected"]

_TEXT, _BINARY = WSMsgType.TEXT, WSMsgType.BINARY
_CONTINUATION, _CLOSE = WSMsgType.CONTINUATION, WSMsgType.CLOSE

log = structlog.get_logger(__name__)


class Connection(WSListener):
    """A client's WebSocket. Subclasses say what is served and what is done with messages."""

    _transport: WSTransport
    _tcp: asyncio.Transport

    def __init__(self, open_connections: set[Connection]) -> None:
        """Make a connection that is in `open_connections` while it is open."""
        self._open_connections = open_connections
        self._ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        #: Whether messages are dropped, because the connection has ended or is being closed.
        self.is_over = False
        self._gone = asyncio.Event()
        self._closed = False
        self._fragments = bytearray()
        self._fragmented: WSMsgType | None = None
        self._serving: asyncio.Task[None]

    # --- for subclasses ---------------------------------------------------------------------

    @abstractmethod
    async def serve(self) -> None:
        """Do what the connection is for, until it ends.

        Raises:
            Refusal: it has to be closed with an error.
        """

    @abstractmethod
    def received_binary(self, message: bytes) -> None:
        """Take one binary message of the client, at most `MAX_FRAME_BYTES` long.

        Raises:
            Refusal: the connection has to be closed with an error.
        """

    @abstractmethod
    def received_text(self, message: bytes) -> None:
        """Take one text message; otherwise as `received_binary`."""

    async def until_ended(self) -> End:
        """Wait for the end.

        Raises:
            Refusal: the connection was ended by one.
        """
        return await asyncio.shield(self._ended)

    async def gone(self) -> None:
        """Wait until the client is disconnected."""
        await self._gone.wait()

    def end(self, why: End | Refusal) -> None:
        """Make `until_ended` return or raise. Only the first reason counts."""
        if not self.is_over:
            self.is_over = True
            if isinstance(why, Refusal):
                self._ended.set_exception(why)
                self._ended.exception()  # marks it as seen: `serve` may have ended before
            else:
                self._ended.set_result(why)

    def end_if_failed(self, task: asyncio.Task[None]) -> None:
        """End with the error of a task that serves the connection, if it has one."""
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        if not isinstance(error, Refusal):
            log.error("connection_failed", exc_info=error)
            error = defect()
        self.end(error)

    def offer(self, frame: bytes) -> None:
        """Send one text frame; end the connection if its reader is too far behind."""
        if self._closed:
            return
        if self._tcp.get_write_buffer_size() > MAX_WAITING_BYTES:
            # Looked at before, not after: a first message of any size is nobody's slowness.
            self._closed = True
            self.end(Refusal(ErrorCode.SLOW_CONSUMER, "Too many messages wait to be read."))
            return
        self._transport.send(_TEXT, frame)

    def tell(self, message: Model) -> None:
        """Send one message."""
        self.offer(encode(message))

    def refuse(self, refusal: Refusal) -> None:
        """Tell why, and close with the refusal's code."""
        if not self._transport.is_close_frame_sent:
            telemetry.refusals.labels(refusal.code.value).inc()
            self._transport.send(_TEXT, encode(refusal.as_message()))
            self.close(refusal.close_code)

    def close(self, code: int = CLOSE_NORMAL) -> None:
        """Close with `code`, once. What the client still sends is dropped."""
        self._closed = self.is_over = True
        if not self._transport.is_close_frame_sent:
            # The application's codes, 4000 and up, are not in picows' enumeration.
            self._transport.send_close(cast("WSCloseCode", code))

    def pause_reading(self) -> None:
        """Let the client feel that nobody takes its messages at the moment."""
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        """Take messages again."""
        if not self._transport.is_disconnected:
            self._tcp.resume_reading()

    # --- called by picows ---------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin to serve; reading begins when `serve` resumes it."""
        self._transport = transport
        self._tcp = transport.underlying_transport
        self._open_connections.add(self)
        self.pause_reading()
        self._serving = asyncio.get_running_loop().create_task(self._serve())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame; a message may come in several."""
        kind = frame.msg_type
        try:
            if kind == _BINARY and frame.fin and self._fragmented is None:
                # The way of nearly all messages, kept short: it decides what a stream costs.
                if frame.payload_size > MAX_FRAME_BYTES:
                    self.end(_too_large())
                elif not self.is_over:
                    self.received_binary(frame.get_payload_as_bytes())
            elif kind == _CLOSE:
                self.end("disconnected")
                self.close(CLOSE_NORMAL)
                transport.disconnect()
            elif kind in {_TEXT, _BINARY, _CONTINUATION}:
                self._assemble(kind, frame)
        except Refusal as refusal:
            self.end(refusal)
        except Exception:
            log.exception("message_failed")
            self.end(defect())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note that the client is gone."""
        del transport
        self._open_connections.discard(self)
        self._closed = True
        self.end("disconnected")
        self._gone.set()

    def pause_writing(self) -> None:
        """Nothing: `offer` looks at the buffer itself."""

    def resume_writing(self) -> None:
        """Nothing, likewise."""

    # --- private ----------------------------------------------------------------------------

    def _assemble(self, kind: WSMsgType, frame: WSFrame) -> None:
        """Collect the frames of a message, RFC 6455 section 5.4."""
        if (kind == _CONTINUATION) != (self._fragmented is not None):
            raise Refusal(ErrorCode.INVALID_MESSAGE, "Frames of two messages are mixed.")
        if kind != _CONTINUATION:
            self._fragmented = kind
        if len(self._fragments) + frame.payload_size > MAX_FRAME_BYTES:
            raise _too_large()
        self._fragments += frame.get_payload_as_memoryview()
        if not frame.fin:
            return
        message, is_text = bytes(self._fragments), self._fragmented == _TEXT
        self._fragments.clear()
        self._fragmented = None
        if self.is_over:
            return
        if is_text:
            self.received_text(message)
        else:
            self.received_binary(message)

    async def _serve(self) -> None:
        try:
            await self.serve()
        except Refusal as refusal:
            self.refuse(refusal)
        except Exception:
            log.exception("connection_failed")
            self.refuse(defect())
        self.close()
        self.resume_reading()  # to see the client's half of the close
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            self._transport.disconnect(graceful=False)


def _too_large() -> Refusal:
    return Refusal(
        ErrorCode.FRAME_TOO_LARGE, f"A message may hold {MAX_FRAME_BYTES // 1024} KiB at most."
    )


def defect() -> Refusal:
    """Return how a client learns of an error of ours."""
    return Refusal(ErrorCode.INTERNAL, "The service failed; this was logged.")
