"""The socket of a speaker, `/api/stt/transcribe`: audio in, the stream's captions out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from uuid import uuid4

import structlog
from pydantic import ValidationError

from access.decisions import Action
from ecs_service.access.door import Admission, Wish
from ecs_service.api.live import LiveConnection, LiveContext
from ecs_service.api.requests import HttpRequest
from ecs_service.limits.callers import ConnectedClient
from ecs_service.refusal import Refusal
from ecs_service.sessions.stream import Stream, StreamRequest
from foundation.invalid import explain
from speech.pcm import PcmFormat
from transcripts.protocol import (
    CLOSE_GOING_AWAY,
    IDLE_SECONDS,
    Closed,
    ErrorCode,
    Ready,
    Start,
    TranscribeParameters,
    control_message,
)

#: Between two acknowledgements to a speaker, in seconds.
ACK_SECONDS = 1.0
#: Messages that a speaker may send without waiting for `ready`.
MAX_EARLY_MESSAGES = 50

log = structlog.get_logger(__name__)


def parse_wish(request: HttpRequest) -> Wish:
    """Return what a speaker's request needs a right for.

    Raises:
        Refusal: its query is malformed.
    """
    return Wish(Action.SPEAK, request.parameters(TranscribeParameters).conversation_id)


class SpeakerConnection(LiveConnection):
    """Passes a speaker's audio to a stream, and sends what the stream publishes."""

    _stream: Stream

    def __init__(
        self, live: LiveContext, request: HttpRequest, client: ConnectedClient, admission: Admission
    ) -> None:
        super().__init__(live, client, admission)
        self._request = request
        self._interim_results = True
        self._is_ready = False
        #: Messages that came with the handshake; reading is paused from there until `ready`.
        self._early: list[tuple[Callable[[bytes], None], bytes]] = []
        self._start_seen = False
        self._next_ack = monotonic() + ACK_SECONDS
        self._idle_timer: asyncio.TimerHandle | None = None
        self._catching_up: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Serve the speaker; audio received before the end still becomes final."""
        wanted = self._request.parameters(TranscribeParameters)
        request = StreamRequest(
            conversation_id=wanted.conversation_id or uuid4().hex[:12],
            speaker=wanted.speaker,
            language=wanted.language,
            audio=PcmFormat(wanted.sample_rate, wanted.channels),
            separate=wanted.channel_mode == "separate",
            options=wanted.options,
        )
        async with self.admitted():
            with self._client.connection.protect():
                await self._serve_stream(wanted, request)

    async def _serve_stream(self, wanted: TranscribeParameters, request: StreamRequest) -> None:
        streams = self._live.streams
        async with Stream(
            streams, request, self, before_engine=self._admission.use_ticket
        ) as self._stream:
            self.send(
                Ready(
                    conversation_id=request.conversation_id,
                    stream_id=self._stream.id,
                    engine=streams.engine.name,
                    language=wanted.language,
                    sample_rate=wanted.sample_rate,
                    channels=wanted.channels,
                    max_seconds=streams.max_seconds,
                )
            )
            self._stream.last_audio = monotonic()  # the time to open an engine is not idle
            self._start_reading()
            await self._run_until_end(self._stream)

    def _start_reading(self) -> None:
        """Handle messages from now on; first those that arrived with the handshake."""
        self._is_ready = True
        try:
            for handle, message in self._early:
                if not self.is_over:
                    handle(message)
        except Refusal as refusal:
            self.end(refusal)
        self._early.clear()
        self.resume_reading()

    def _defer(self, handle: Callable[[bytes], None], message: bytes) -> None:
        if len(self._early) == MAX_EARLY_MESSAGES:
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "Wait for `ready` before you send audio.")
        self._early.append((handle, message))

    async def _run_until_end(self, stream: Stream) -> None:
        finishing = asyncio.create_task(stream.finished())
        finishing.add_done_callback(self.end_if_failed)
        self._check_idle()
        end = "refused"
        try:
            try:
                end = await self.wait_until_ended()
            except Refusal as refusal:
                # Sent now, because finishing the utterance may take a moment.
                self.refuse(refusal)
            stream.finish()
            while not (await asyncio.wait({finishing}, timeout=ACK_SECONDS))[0]:
                self._acknowledge()
            await finishing
        finally:
            for task in (finishing, self._idle_timer, self._catching_up):
                if task is not None:
                    task.cancel()
            log.info(
                "stream_ended",
                stream=stream.id,
                end=end,
                seconds=round(stream.received, 3),
                finals=stream.finals,
            )
        self.send(stream.ack())
        if end in {"stopped", "max_duration", "draining"}:
            self.send(Closed(reason=end, duration=stream.received, finals=stream.finals))
        if end == "draining":
            self.close(CLOSE_GOING_AWAY)

    # --- messages from the client ---------------------------------------------------------

    def on_binary(self, message: bytes) -> None:
        """Pass audio to the stream; pause reading if the engine is too far behind."""
        if not self._is_ready:
            self._defer(self.on_binary, message)
            return
        stream = self._stream
        stream.accept(message)
        if stream.last_audio >= self._next_ack:
            # Here and not in a timer, which would wake the loop once more for each stream.
            self._acknowledge()
        if stream.is_exhausted:
            self.end("max_duration")
        elif stream.backlogged and self._catching_up is None:
            self.pause_reading()
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Resume reading when the engine has caught up; acknowledge with the lag meanwhile."""
        catching_up = asyncio.create_task(self._stream.catch_up())
        try:
            while not (await asyncio.wait({catching_up}, timeout=ACK_SECONDS))[0]:
                self._acknowledge()
        finally:
            catching_up.cancel()
        self._catching_up = None
        self.resume_reading()

    def _acknowledge(self) -> None:
        self._next_ack = self._stream.last_audio + ACK_SECONDS
        self.send(self._stream.ack())

    def on_text(self, message: bytes) -> None:
        """Execute a control message."""
        if not self._is_ready:
            self._defer(self.on_text, message)
            return
        try:
            control = control_message.validate_json(message)
        except ValidationError as error:
            raise Refusal(
                ErrorCode.INVALID_MESSAGE,
                f"Not a control message: {explain(error, whole='message')}.",
            ) from None
        if not isinstance(control, Start):
            self.end("stopped")
            return
        if self._stream.started or self._start_seen:
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "`start` comes once, before any audio.")
        self._start_seen = True
        self._interim_results = control.interim_results
        if control.format is not None:
            audio = PcmFormat(control.format.sample_rate, control.format.channels)
            self._stream.set_format(audio)
        if control.traceparent is not None:
            log.info("stream_traced", stream=self._stream.id, traceparent=control.traceparent)

    # --- notifications of the stream ------------------------------------------------------

    def on_published(self, frame: bytes, *, is_final: bool) -> None:
        """Send a partial or final of this stream to its speaker."""
        if is_final or self._interim_results:
            self.deliver(frame)

    def on_drain(self) -> None:
        """End the stream, because the service drains."""
        self.end("draining")

    def _check_idle(self) -> None:
        remaining = IDLE_SECONDS - self._stream.idle_seconds
        if remaining <= 0:
            message = f"No audio came for {IDLE_SECONDS:g} seconds."
            self.end(Refusal(ErrorCode.IDLE_TIMEOUT, message))
            return
        loop = asyncio.get_running_loop()
        self._idle_timer = loop.call_later(max(remaining, 0.05), self._check_idle)
