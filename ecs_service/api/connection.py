"""One WebSocket of a client, as the base class of all connections.

A `Connection` is called back for each message and never waits. It disconnects a slow reader when
too many bytes wait for it. There is no task for each message: a task would cost more than all the
work on an audio message. The `serve` coroutine spans the connection's life; `end` makes it return.

What a client can make the service do is bounded, whether it reads or not:

- the bytes that wait for it, pongs included (`MAX_WAITING_BYTES`)
- the rate of small frames (`limits/frame_budget.py`)
- the bytes that are handled at once (`read_control.py`)
- the length of a fragmented message (`rfc6455.py`)
- the time for which it can delay its end (`CLOSE_SECONDS`)

The sockets are picows', measured as the cheapest per message (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Literal, cast

import structlog
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from ecs_service import telemetry
from ecs_service.api.read_control import ReadControl
from ecs_service.api.rfc6455 import Assembler, FrameKind, MessageTooLong, Violation, answer_to_close
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

#: The transport closes a connection with code 1009 for a longer frame. It is twice the protocol's
#: limit, so that a frame that is a little too long gets a named error.
MAX_TRANSPORT_FRAME_BYTES = 2 * MAX_FRAME_BYTES
#: The most bytes that wait for a client, besides what the kernel buffers.
MAX_WAITING_BYTES = 1024 * 1024
#: How long a client may take to read the rest and to answer the close, in seconds.
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
    """A client's WebSocket. Subclasses implement `serve`, `on_binary` and `on_text`."""

    _transport: WSTransport
    _tcp: asyncio.Transport

    def __init__(self, open_connections: set[Connection]) -> None:
        """Make a connection that adds itself to `open_connections` while it is open."""
        self._open_connections = open_connections
        self._ended: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()
        #: Whether the connection has ended or is being closed; its messages are then dropped.
        self.is_over = False
        self._gone = asyncio.Event()
        self._closed = False
        self._closing: asyncio.TimerHandle | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._messages = Assembler()
        self._reading: ReadControl
        #: The newest ping of a throttled client; of several, only this one needs an answer.
        self._unanswered_ping: bytes | None = None
        self._serving: asyncio.Task[None]

    # --- for subclasses ---------------------------------------------------------------------

    @abstractmethod
    async def serve(self) -> None:
        """Serve the client until the connection ends.

        Raises:
            Refusal: the connection must be closed with an error.
        """

    @abstractmethod
    def on_binary(self, message: bytes) -> None:
        """Handle a binary message of the client, at most `MAX_FRAME_BYTES` long.

        Raises:
            Refusal: the connection must be closed with an error.
        """

    @abstractmethod
    def on_text(self, message: bytes) -> None:
        """Handle a text message; otherwise as `on_binary`."""

    async def wait_until_ended(self) -> EndReason:
        """Wait until the connection ends; return the reason.

        Raises:
            Refusal: it ended with an error.
        """
        return await asyncio.shield(self._ended)

    async def wait_until_gone(self) -> None:
        """Wait until the client is disconnected."""
        await self._gone.wait()

    def end(self, why: EndReason | Refusal) -> None:
        """End the connection: `wait_until_ended` returns or raises. Only the first call counts."""
        if not self.is_over:
            self.is_over = True
            if isinstance(why, Refusal):
                self._ended.set_exception(why)
                self._ended.exception()  # marks it as seen: `serve` may have ended before
            else:
                self._ended.set_result(why)

    def end_if_failed(self, task: asyncio.Task[None]) -> None:
        """End the connection with the error of `task`, if the task failed."""
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        if not isinstance(error, Refusal):
            log.error("connection_failed", exc_info=error)
            error = internal_error()
        self.end(error)

    def deliver(self, frame: bytes) -> None:
        """Send an encoded message; end the connection if too many bytes wait for the client."""
        self._send_frame(_TEXT, frame)

    def send(self, message: Model) -> None:
        """Encode and send a message."""
        self.deliver(encode(message))

    def refuse(self, refusal: Refusal) -> None:
        """Send the error, and close with its code."""
        if not self._transport.is_close_frame_sent:
            telemetry.refusals.labels(refusal.code.value).inc()
            self._transport.send(_TEXT, encode(refusal.as_message()))
            self.close(refusal.close_code)

    def close(self, code: int = CLOSE_NORMAL) -> None:
        """Close with `code`, once. Messages that the client still sends are dropped."""
        self._closed = self.is_over = True
        if not self._transport.is_close_frame_sent:
            # The application's codes, 4000 and up, are not in picows' enumeration.
            self._transport.send_close(cast("WSCloseCode", code))
        if self._closing is None and not self._gone.is_set():
            loop = asyncio.get_running_loop()
            self._closing = loop.call_later(CLOSE_SECONDS, self._abort)

    def pause_reading(self) -> None:
        """Stop reading from the client, which feels it as back-pressure."""
        self._reading.pause()

    def resume_reading(self) -> None:
        """Read from the client again."""
        if not self._transport.is_disconnected:
            self._reading.resume()

    # --- called by picows ---------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Start to serve; reading is paused until `serve` resumes it."""
        self._transport = transport
        self._tcp = transport.underlying_transport
        self._tcp.set_write_buffer_limits(high=0)  # `pause_writing` as soon as anything waits
        self._reading = ReadControl(self._tcp, on_throttle_end=self._answer_last_ping)
        self._open_connections.add(self)
        self.pause_reading()
        self._serving = asyncio.get_running_loop().create_task(self._serve())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Handle a frame, which is a message or a part of one."""
        del transport
        size = frame.payload_size
        if size < SMALL_FRAME_BYTES or self.is_over:
            self._reading.charge()
        kind = frame.msg_type
        try:
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                # These bits belong to extensions, and none was negotiated (RFC 6455 section 5.2).
                self._fail(CLOSE_PROTOCOL_ERROR)
            elif kind is _BINARY and frame.fin and self._messages.unfinished is None:
                # Nearly all messages come here; this path determines the cost of a stream.
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
        """Start `_watch`, because bytes wait for the client; `deliver` limits how many."""
        self._watch()

    def resume_writing(self) -> None:
        """Stop watching the client."""
        if self._watching is not None:
            self._watching.cancel()

    # --- private ----------------------------------------------------------------------------

    def _handle_other_frame(self, kind: WSMsgType, frame: WSFrame) -> None:
        """Handle a frame that is not a complete binary message."""
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
        """Answer a ping; of a throttled client's, only the newest (RFC 6455 section 5.5.3)."""
        if not self._reading.is_throttled:
            self._reading.charge(CONTROL_COST - 1)
            self._send_frame(_PONG, ping)
        else:
            self._unanswered_ping = ping

    def _send_frame(self, kind: WSMsgType, payload: bytes) -> None:
        """Send one frame. Everything that a client can make us send goes through here.

        Only the error and the close frame at the end do not.
        """
        if self._closed:
            return
        if self._tcp.get_write_buffer_size() > MAX_WAITING_BYTES:
            # Checked before sending: a single message of any size does not mean a slow reader.
            self._closed = True
            self.end(Refusal(ErrorCode.SLOW_CONSUMER, "Too many messages wait to be read."))
        else:
            self._transport.send(kind, payload)

    def _fail(self, code: int) -> None:
        """Fail the connection (RFC 6455 section 7.1.7), unless it has ended already."""
        if not self.is_over:
            self.end("disconnected")
            self.close(code)

    def _watch(self) -> None:
        """End the connection if picows has sent a close frame because of a malformed frame.

        picows does not notify of that, and closes the socket only when the client has read
        everything, which may never happen.
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
    """Return the refusal for a defect of ours."""
    return Refusal(ErrorCode.INTERNAL, "The service failed; this was logged.")
