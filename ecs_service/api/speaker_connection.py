"""The socket of a speaker, `/api/stt/transcribe`: audio in, the stream's captions out.

The stream ends with the socket here. `resuming_connection.py` serves clients that resume.
"""

from __future__ import annotations

import asyncio
from time import monotonic

import structlog

from access.decisions import Action
from ecs_service.access.door import Admission, Wish
from ecs_service.api.audio_connection import ACK_SECONDS, AudioConnection, to_stream_request
from ecs_service.api.live import LiveContext
from ecs_service.api.requests import HttpRequest
from ecs_service.api.resuming_connection import ResumingConnection
from ecs_service.limits.callers import ConnectedClient
from ecs_service.refusal import Refusal
from ecs_service.sessions.resumable import ResumableStreams
from ecs_service.sessions.stream import Beginning, Stream, StreamRequest
from speech.pcm import PcmFormat
from transcripts.protocol import (
    CLOSE_GOING_AWAY,
    Closed,
    ErrorCode,
    FromClient,
    Ready,
    Start,
    Stop,
    TranscribeParameters,
)

log = structlog.get_logger(__name__)


def parse_wish(request: HttpRequest) -> Wish:
    """Return what a speaker's request needs a right for.

    Raises:
        Refusal: its query is malformed.
    """
    return Wish(Action.SPEAK, request.parameters(TranscribeParameters).conversation_id)


def open_speaker(
    live: LiveContext,
    resumable: ResumableStreams | None,
    request: HttpRequest,
    client: ConnectedClient,
    admission: Admission,
) -> AudioConnection:
    """Return the connection of a speaker, of the kind that its query asks for.

    A service without a ledger serves all alike, and clients see that nothing is resumed.

    Raises:
        Refusal: the query is malformed.
    """
    if resumable is not None and request.parameters(TranscribeParameters).resume:
        return ResumingConnection(live, resumable, request, client, admission)
    return SpeakerConnection(live, request, client, admission)


class SpeakerConnection(AudioConnection):
    """Passes a speaker's audio to a stream, and sends what the stream publishes."""

    _stream: Stream

    def __init__(
        self, live: LiveContext, request: HttpRequest, client: ConnectedClient, admission: Admission
    ) -> None:
        super().__init__(live, request, client, admission)
        self._start_seen = False

    async def serve(self) -> None:
        """Serve the speaker; audio received before the end still becomes final."""
        wanted = self._request.parameters(TranscribeParameters)
        request = to_stream_request(wanted)
        async with self.admitted():
            with self._client.connection.protect():
                await self._serve_stream(wanted, request)

    async def _serve_stream(self, wanted: TranscribeParameters, request: StreamRequest) -> None:
        async def prepare() -> Beginning:
            await self._admission.use_ticket()
            return Beginning(request=request)

        streams = self._live.streams
        async with Stream(streams, prepare, self) as self._stream:
            self._sink = self._stream
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
            self.start_reading()
            await self._run_until_end(self._stream)

    async def _run_until_end(self, stream: Stream) -> None:
        finishing = asyncio.create_task(stream.finished())
        finishing.add_done_callback(self.end_if_failed)
        self.check_idle()
        end = "refused"
        try:
            try:
                end = await self.wait_until_ended()
            except Refusal as refusal:
                # Sent now, because finishing the utterance may take a moment.
                self.refuse(refusal)
            stream.finish()
            while not (await asyncio.wait({finishing}, timeout=ACK_SECONDS))[0]:
                self.acknowledge()
            await finishing
        finally:
            finishing.cancel()
            self.stop_waiting()
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

    def on_exhausted(self) -> None:
        """End the stream, because the operator allows no more audio."""
        self.end("max_duration")

    def on_control(self, control: FromClient) -> None:
        """Begin or end the audio; the other messages are for streams that are resumed."""
        if isinstance(control, Stop):
            self.end("stopped")
            return
        if not isinstance(control, Start):
            message = f"`{control.type}` needs `resume=1`."
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, message)
        if self._stream.started or self._start_seen:
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "`start` comes once, before any audio.")
        self._start_seen = True
        self._interim_results = control.interim_results
        if control.format is not None:
            audio = PcmFormat(control.format.sample_rate, control.format.channels)
            self._stream.set_format(audio)
        if control.traceparent is not None:
            log.info("stream_traced", stream=self._stream.id, traceparent=control.traceparent)

    def on_drain(self) -> None:
        """End the stream, because the service drains."""
        self.end("draining")
