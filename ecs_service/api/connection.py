"""One WebSocket, as the protocols in this folder see it.

A `Connection` is called back for every message and never waits: neither for a slow reader,
which is closed when too much waits for it, nor in a task of its own per message, which would
cost more than all that is done with an audio message. Its `serve` coroutine spans the
connection's life; `end` makes it return.

What a client can make the service do is bounded, whether it reads or not: the bytes that wait for
it (`MAX_WAITING_BYTES`, answers to pings included), the small frames that are read of it
(`budget`), what of it is handled at once (`reading`), the message that it does not finish
(`rfc6455`), and the time for which it may delay its end (`CLOSE_SECONDS`).

Sockets are picows', measured as the cheapest per message (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Literal, cast

import structlog
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from ecs_service import telemetry
from ecs_service.api.read_control import ReadControl
from ecs_service.api.rfc6455 import FrameKind, Messages, MessageTooLong, Violation, answer_to_close
from ecs_service.limits.frame_budget import CONTROL_COST
from ecs_service.refusal import Refusal
from transcripts.models import Model
from transcripts.protocol import (
    CLOSE_NORMAL,
    CLOSE_PROTOCOL_ERROR,
    MAX_FRAME_BYTES,
    SMALL_FRAME_BYTES,
    ErrorCode,
    encode,
)

#: A frame beyond this is cut off by the transport with close code 1009. Twice the protocol's
#: limit, so that what is only a little too long gets a named error.
MAX_TRANSPORT_FRAME_BYTES = 2 * MAX_FRAME_BYTES
#: Bytes that may wait for one reader, besides what the kernel buffers.
MAX_WAITING_BYTES = 1024 * 1024
#: A closing peer gets this long to read the rest and to answer the close, in seconds.
CLOSE_SECONDS = 2.0

#: Why a connection ends without an error.
EndReason = Literal["stopped", "max_duration", "draining", "disconnected"]

_TEXT, _BINARY, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CLOSE
_PING, _PONG = WSMsgType.PING, WSMsgType.PONG
_DATA: dict[WSMsgType, FrameKind] = {
    _TEXT: "text",
    _BINARY: "binary",
    WSMsgType.CONTINUATION: "continuation",
}

log = structlog.get_logger(__name__)


class Connection(WSListener):
    """A client's WebSocket. Subclasses say what is served and what is done with messages."""

    _transport: WSTransport
    _tcp: asyncio.Transport

    def __init__(self, open_connections: set[Connection]) -> None:
        """Make a connection that is in `open_connections` while it is open."""
        self._open_connections = open_connections
        self._ended: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()
        #: Whether messages are dropped, because the connection has ended or is being closed.
        self.is_over = False
        self._gone = asyncio.Event()
        self._closed = False
        self._closing: asyncio.TimerHandle | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._messages = Messages()
        self._reading: ReadControl
        #: The newest ping of a client that rests: of many, only this one needs an answer.
        self._unanswered_ping: bytes | None = None
        self._serving: asyncio.Task[None]

    # --- for subclasses ---------------------------------------------------------------------

    @abstractmethod
    async def serve(self) -> None:
        """Do what the connection is for, until it ends.

        Raises:
            Refusal: it has to be closed with an error.
        """

    @abstractmethod
    def on_binary(self, message: bytes) -> None:
        """Take one binary message of the client, at most `MAX_FRAME_BYTES` long.

        Raises:
            Refusal: the connection has to be closed with an error.
        """

    @abstractmethod
    def on_text(self, message: bytes) -> None:
        """Take one text message; otherwise as `on_binary`."""

    async def wait_until_ended(self) -> EndReason:
        """Wait for the end.

        Raises:
            Refusal: the connection was ended by one.
        """
        return await asyncio.shield(self._ended)

    async def wait_until_gone(self) -> None:
        """Wait until the client is disconnected."""
        await self._gone.wait()

    def end(self, why: EndReason | Refusal) -> None:
        """Make `wait_until_ended` return or raise. Only the first reason counts."""
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
            error = internal_error()
        self.end(error)

    def deliver(self, frame: bytes) -> None:
        """Send one text frame; end the connection if its reader is too far behind."""
        self._send_frame(_TEXT, frame)

    def send(self, message: Model) -> None:
        """Send one message."""
        self.deliver(encode(message))

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
        if self._closing is None and not self._gone.is_set():
            loop = asyncio.get_running_loop()
            self._closing = loop.call_later(CLOSE_SECONDS, self._abort)

    def pause_reading(self) -> None:
        """Let the client feel that nobody takes its messages at the moment."""
        self._reading.pause()

    def resume_reading(self) -> None:
        """Take messages again."""
        if not self._transport.is_disconnected:
            self._reading.resume()

    # --- called by picows ---------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin to serve; reading begins when `serve` resumes it."""
        self._transport = transport
        self._tcp = transport.underlying_transport
        self._tcp.set_write_buffer_limits(high=0)  # `pause_writing` as soon as anything waits
        self._reading = ReadControl(self._tcp, on_throttle_end=self._answer_last_ping)
        self._open_connections.add(self)
        self.pause_reading()
        self._serving = asyncio.get_running_loop().create_task(self._serve())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame; a message may come in several."""
        del transport
        size = frame.payload_size
        if size < SMALL_FRAME_BYTES or self.is_over:
            self._reading.charge()
        kind = frame.msg_type
        try:
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                # They belong to extensions, and we agreed to none (RFC 6455 section 5.2).
                self._fail(CLOSE_PROTOCOL_ERROR)
            elif kind is _BINARY and frame.fin and self._messages.unfinished is None:
                # The way of nearly all messages, kept short: it decides what a stream costs.
                if size > MAX_FRAME_BYTES:
                    self.end(_too_large())
                elif not self.is_over:
                    self.on_binary(frame.get_payload_as_bytes())
            else:
                self._handle_other_frame(kind, frame)
        except Refusal as refusal:
            self.end(refusal)
        except Violation as violation:
            self._fail(violation.close_code)
        except Exception:
            log.exception("message_failed")
            self.end(internal_error())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note that the client is gone."""
        del transport
        self._open_connections.discard(self)
        self._closed = True
        self.end("disconnected")
        self._gone.set()
        self._reading.close()
        for timer in (self._closing, self._watching):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """Watch a client for which something waits: `deliver` looks at how much itself."""
        self._watch()

    def resume_writing(self) -> None:
        """Watch it no more."""
        if self._watching is not None:
            self._watching.cancel()

    # --- private ----------------------------------------------------------------------------

    def _handle_other_frame(self, kind: WSMsgType, frame: WSFrame) -> None:
        """Take a frame that is not a whole binary message."""
        if kind is _CLOSE:
            self.end("disconnected")
            self.close(answer_to_close(frame.get_payload_as_bytes()))
            self._transport.disconnect()
        elif self.is_over:
            return
        elif kind is _PING:
            self._answer(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._reading.charge(CONTROL_COST - 1)
        else:
            self._handle_data_frame(_DATA[kind], frame)

    def _handle_data_frame(self, kind: FrameKind, frame: WSFrame) -> None:
        try:
            message = self._messages.add(kind, frame.get_payload_as_memoryview(), fin=frame.fin)
        except MessageTooLong:
            raise _too_large() from None
        if message is not None:
            receive = self.on_text if message[0] == "text" else self.on_binary
            receive(message[1])

    def _answer(self, ping: bytes) -> None:
        """Answer a ping; where too many come, only the newest, later (RFC 6455 section 5.5.3)."""
        if not self._reading.is_throttled:
            self._reading.charge(CONTROL_COST - 1)
            self._send_frame(_PONG, ping)
        else:
            self._unanswered_ping = ping

    def _send_frame(self, kind: WSMsgType, payload: bytes) -> None:
        """Send one frame. All that a client can make us send goes this way, but for the end."""
        if self._closed:
            return
        if self._tcp.get_write_buffer_size() > MAX_WAITING_BYTES:
            # Looked at before, not after: a first message of any size is nobody's slowness.
            self._closed = True
            self.end(Refusal(ErrorCode.SLOW_CONSUMER, "Too many messages wait to be read."))
        else:
            self._transport.send(kind, payload)

    def _fail(self, code: int) -> None:
        """Fail the connection (RFC 6455 section 7.1.7), unless it has ended for another reason."""
        if not self.is_over:
            self.end("disconnected")
            self.close(code)

    def _watch(self) -> None:
        """End when picows has sent a close frame, for a frame that is none.

        It notifies nobody, and closes the socket when the client has read all, which may be never.
        """
        if self._transport.is_close_frame_sent:
            self._fail(CLOSE_PROTOCOL_ERROR)
        if not self._closed:
            loop = asyncio.get_running_loop()
            self._watching = loop.call_later(CLOSE_SECONDS, self._watch)

    def _answer_last_ping(self) -> None:
        if self._unanswered_ping is not None:
            ping, self._unanswered_ping = self._unanswered_ping, None
            self._answer(ping)

    def _abort(self) -> None:
        self._transport.disconnect(graceful=False)

    async def _serve(self) -> None:
        try:
            await self.serve()
        except Refusal as refusal:
            self.refuse(refusal)
        except Exception:
            log.exception("connection_failed")
            self.refuse(internal_error())
        self.close()
        self.resume_reading()  # to see the client's half of the close
        await self._gone.wait()


def _too_large() -> Refusal:
    return Refusal(
        ErrorCode.FRAME_TOO_LARGE, f"A message may hold {MAX_FRAME_BYTES // 1024} KiB at most."
    )


def internal_error() -> Refusal:
    """Return how a client learns of an error of ours."""
    return Refusal(ErrorCode.INTERNAL, "The service failed; this was logged.")
