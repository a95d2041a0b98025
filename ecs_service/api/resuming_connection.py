"""The socket of a speaker who resumes, `/api/stt/transcribe?resume=1`.

The stream outlives the socket (`sessions/resumable.py`). A client that comes back shows the
stream's token, and sends again what is not durable.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from typing import Literal

import structlog

from access.secret import Secret
from access.tickets import TicketError
from ecs_service.access.credentials import find_resume_token
from ecs_service.access.door import Admission
from ecs_service.api.audio_connection import ACK_SECONDS, AudioConnection, to_stream_request
from ecs_service.api.live import LiveContext
from ecs_service.api.requests import HttpRequest
from ecs_service.limits.callers import ConnectedClient
from ecs_service.refusal import Refusal
from ecs_service.sessions.resumable import (
    ResumableStream,
    ResumableStreams,
    ResumeRequest,
    StreamOver,
    resume_refused,
)
from speech.pcm import PcmFormat
from transcripts.protocol import (
    CLOSE_GOING_AWAY,
    Closed,
    Continue,
    ErrorCode,
    FromClient,
    Pause,
    Ready,
    Start,
    TranscribeParameters,
)

log = structlog.get_logger(__name__)


class ResumingConnection(AudioConnection):
    """Passes a speaker's audio to a stream that may have begun on another connection."""

    _stream: ResumableStream

    def __init__(
        self,
        live: LiveContext,
        streams: ResumableStreams,
        request: HttpRequest,
        client: ConnectedClient,
        admission: Admission,
    ) -> None:
        super().__init__(live, request, client, admission)
        self._streams = streams
        self._is_continued = False
        self._is_stopped = False
        self._next_ack = math.inf  # a timer acknowledges, with or without audio
        self._is_finished = False

    async def serve(self) -> None:
        """Serve the speaker until the stream ends or the connection does."""
        wanted = self._request.parameters(TranscribeParameters)
        async with self.admitted(), AsyncExitStack() as proofs:
            with self._client.connection.protect():
                try:
                    self._stream = await self._open(wanted, proofs)
                except StreamOver as over:
                    self._send_closed("stopped", over.seconds, over.finals)
                    return
                self._sink = self._stream
                try:
                    await self._serve_stream(wanted)
                finally:
                    self.stop_waiting()
                    self._stream.detach(self)

    async def _open(self, wanted: TranscribeParameters, proofs: AsyncExitStack) -> ResumableStream:
        """Begin or resume the stream; `proofs` watches the caller's right.

        Raises:
            Refusal: that is not possible.
            StreamOver: it has ended.
        """
        token = self._find_token()
        if token is None:
            request = to_stream_request(wanted)
            return await self._streams.open(request, self, self._admission.use_ticket)

        async def prove(right: str) -> None:
            await proofs.enter_async_context(self._admission.resume(right, self))

        resumed = ResumeRequest(token, wanted.conversation_id or "", wanted.attempt)
        return await self._streams.resume(resumed, self, prove)

    def _find_token(self) -> Secret | None:
        try:
            return find_resume_token(self._request.headers)
        except TicketError:
            raise resume_refused() from None

    async def _serve_stream(self, wanted: TranscribeParameters) -> None:
        stream = self._stream.stream
        audio = stream.request.audio
        if wanted.sample_rate != audio.sample_rate or wanted.channels != audio.channels:
            message = f"The stream has {audio.channels} x {audio.sample_rate} Hz."
            raise Refusal(ErrorCode.INVALID_PARAMETER, message)
        self.send(
            Ready(
                conversation_id=stream.request.conversation_id,
                stream_id=stream.id,
                engine=self._live.streams.engine.name,
                language=stream.request.language,
                sample_rate=audio.sample_rate,
                channels=audio.channels,
                max_seconds=self._live.streams.max_seconds,
                resume_token=str(self._stream.token),
                resume_from=stream.next_sample,
            )
        )
        for frame in self._stream.take_missed():
            self.deliver(frame)
        self._stream.touch()
        self.start_reading()
        self.check_idle()
        acknowledging = asyncio.create_task(self._acknowledge_always())
        end = "refused"
        try:
            end = await self.wait_until_ended()
        finally:
            acknowledging.cancel()
            log.info(
                "connection_ended",
                stream=stream.id,
                end=end,
                seconds=round(stream.received, 3),
                finals=stream.finals,
            )
        if self._is_finished:
            self.acknowledge()
            self._send_closed(self._stream.end_reason, stream.received, stream.finals)
        if end == "draining":
            self.close(CLOSE_GOING_AWAY)

    async def _acknowledge_always(self) -> None:
        while True:
            await asyncio.sleep(ACK_SECONDS)
            self.acknowledge()
            self._next_ack = math.inf

    def _send_closed(
        self, reason: Literal["stopped", "max_duration"], seconds: float, finals: int
    ) -> None:
        self.send(Closed(reason=reason, duration=seconds, finals=finals))

    # --- messages from the client -----------------------------------------------------------------

    def on_binary(self, message: bytes) -> None:
        """Pass audio to the stream, from where it continues."""
        if self._is_ready and not self._is_continued:
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "Send `continue` before audio.")
        if not self._is_stopped:
            super().on_binary(message)

    def on_exhausted(self) -> None:
        """End the audio, because the operator allows no more."""
        self._is_stopped = True
        self._stream.finish("max_duration")

    def on_control(self, control: FromClient) -> None:
        """Execute a control message."""
        match control:
            case Continue(sample=sample, age=age):
                if self._is_continued:
                    message = "`continue` comes once, before any audio."
                    raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, message)
                self._stream.begin_at(sample, age)
                self._is_continued = True
            case Pause(sample=sample, seconds=seconds):
                self._stream.pause(sample, seconds)
            case Start():
                self._start(control)
            case _:
                self._is_stopped = True
                self._stream.finish("stopped")

    def _start(self, start: Start) -> None:
        if self._is_continued:
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "`start` comes before `continue`.")
        announced = start.format
        audio = self._stream.stream.request.audio
        if announced and PcmFormat(announced.sample_rate, announced.channels) != audio:
            message = "With `resume=1` the query has the format."
            raise Refusal(ErrorCode.INVALID_MESSAGE, message)
        self._interim_results = start.interim_results
        if start.traceparent is not None:
            log.info("stream_traced", stream=self._stream.stream.id, traceparent=start.traceparent)

    # --- notifications of the stream --------------------------------------------------------------

    def on_ended(self, why: Refusal | Literal["finished"]) -> None:
        """End the connection, because its stream ended or goes on elsewhere."""
        if why == "finished":
            self._is_finished = True
            self.end("stopped")
        else:
            self.end(why)
