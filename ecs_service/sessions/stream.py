"""Runs one audio stream: validates, resamples, recognises, publishes.

A stream knows no protocol. A connection in `api/` feeds it the client's audio and is notified of
what was published. The only buffer is the recognition's. It stays bounded because the connection
does not read from its socket while the stream is `backlogged`: the client feels back-pressure.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol, Self

import structlog

from access.secret import make_id
from ecs_service import telemetry
from ecs_service.conversations.hub import Hub
from ecs_service.limits.stream_slots import StreamSlots
from ecs_service.refusal import Refusal, to_refusal
from ecs_service.sessions.publisher import FinalSink, Publisher
from speech.engines.base import (
    Checkpoint,
    Engine,
    Recognition,
    RecognitionOptions,
    Result,
    ResumePoint,
)
from speech.engines.errors import EngineError, OptionError, UnsupportedLanguage
from speech.pcm import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioTooLong, PcmError, PcmFormat
from speech.resample import Resampler
from transcripts.models import ConversationId, Language, Speaker
from transcripts.protocol import MAX_FRAME_SECONDS, Ack, ErrorCode

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """What a speaker asks for."""

    conversation_id: ConversationId
    speaker: Speaker
    language: Language
    audio: PcmFormat
    #: Whether channels are recognised separately instead of mixed into one.
    separate: bool = False
    #: The engine's own options by name.
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """How many channels the engine gets."""
        return self.audio.channels if self.separate else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where and how a stream begins: at its first sample, or where another task left it.

    Attributes:
        request: what the speaker asked for.
        stream_id: the id, with which the ids of its utterances begin.
        sink: keeps the finals; None for that of all streams.
        count: finals that it had before.
        first_sample: the sample that the client sends first, in its own format.
        resume: where the recognition begins; None at the start of the stream.
        moment_of: returns when a frame was spoken; None to count back from the last audio.
    """

    request: StreamRequest
    stream_id: str = field(default_factory=make_id)
    sink: FinalSink | None = None
    count: int = 0
    first_sample: int = 0
    resume: ResumePoint | None = None
    moment_of: Callable[[int], datetime] | None = None


class StreamOwner(Protocol):
    """What a stream belongs to. Called on the event loop; must not raise."""

    def on_published(self, frame: bytes, *, is_final: bool) -> None:
        """Take an encoded message of this stream that was broadcast to the conversation."""

    def on_drain(self) -> None:
        """End the stream now: the service drains."""


class Streams:
    """What all streams share, and which of them are open."""

    def __init__(
        self,
        *,
        engine: Engine,
        hub: Hub,
        sink: FinalSink,
        slots: StreamSlots,
        max_seconds: float | None = None,
    ) -> None:
        self.engine = engine
        self.hub = hub
        self.sink = sink
        self.slots = slots
        self.max_seconds = max_seconds
        self._open: set[Stream] = set()

    @contextmanager
    def track(self, stream: Stream) -> Iterator[None]:
        """Count `stream` among those that `drain` has to end, while the context is open."""
        self._open.add(stream)
        try:
            yield
        finally:
            self._open.discard(stream)

    def drain(self) -> None:
        """Refuse new streams, and ask the owners of open ones to end them."""
        self.slots.is_draining = True
        for stream in tuple(self._open):
            stream.owner.on_drain()


class Stream:
    """One speaker's audio and its recognition.

    An async context manager: entering it takes a slot and opens the recognition.
    """

    request: StreamRequest
    id: str

    def __init__(
        self,
        streams: Streams,
        prepare: Callable[[], Awaitable[Beginning]],
        owner: StreamOwner,
    ) -> None:
        """Make a stream. `prepare` is awaited with a slot; its Refusal keeps it closed."""
        self._prepare = prepare
        self.owner = owner
        self._streams = streams
        self._format: PcmFormat
        self._resampler: Resampler | None = None
        self._recognition: Recognition
        self._publisher: Publisher
        self._moment_of: Callable[[int], datetime] | None = None
        self._held = AsyncExitStack()
        self._received_bytes = 0  # from the first sample of the stream on
        self._began_bytes = 0  # of those, before this recognition
        self._skip_bytes = 0  # converted audio before what the recognition needs
        self._max_bytes = math.inf
        self._counted = 0.0  # seconds of audio that the metrics include
        self._first_partial_seen = False
        #: When audio came last, by the monotonic clock.
        self.last_audio = monotonic()
        self._waits_for_engine = False

    async def __aenter__(self) -> Self:
        """Take a slot and open the recognition.

        Raises:
            Refusal: every slot is taken, the service drains, `prepare` refuses, or the engine
                cannot be reached or does not support the language or an option.
        """
        async with AsyncExitStack() as held:
            held.enter_context(self._streams.slots.hold())
            held.enter_context(self._streams.track(self))
            beginning = await self._prepare()
            self._begin(beginning)
            conversation = held.enter_context(
                self._streams.hub.add_speaker(self.request.conversation_id)
            )
            self._publisher = Publisher(
                conversation,
                beginning.sink or self._streams.sink,
                self._notify_owner,
                stream_id=self.id,
                speaker=self.request.speaker,
                language=self.request.language,
                channels=self.request.channels,
                count=beginning.count,
            )
            options = RecognitionOptions(
                language=self.request.language,
                channels=self.request.channels,
                choices=self.request.options,
            )
            try:
                recognition = self._streams.engine.recognise(
                    options, self._publish, beginning.resume
                )
                self._recognition = await held.enter_async_context(recognition)
            except EngineError as error:
                raise self._refusal(error) from error
            self._held = held.pop_all()
        return self

    def _begin(self, beginning: Beginning) -> None:
        self.request, self.id = beginning.request, beginning.stream_id
        self._moment_of = beginning.moment_of
        audio = self._format = self.request.audio
        self._received_bytes = self._began_bytes = beginning.first_sample * audio.bytes_per_frame
        self._counted = self.received
        if beginning.resume is not None:
            first_frame = beginning.first_sample * SAMPLE_RATE // audio.sample_rate
            skipped = beginning.resume.start - first_frame
            self._skip_bytes = skipped * BYTES_PER_SAMPLE * self.request.channels

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    # --- audio in ----------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether audio has been received."""
        return self._received_bytes > self._began_bytes

    @property
    def next_sample(self) -> int:
        """The sample that the next audio begins with, counted from the stream's first one."""
        return self._received_bytes // self._format.bytes_per_frame

    def set_format(self, audio: PcmFormat) -> None:
        """Change the audio's format, before the first audio.

        Raises:
            Refusal: the engine was opened for another number of separate channels.
        """
        if self.request.separate and audio.channels != self.request.channels:
            raise Refusal(
                ErrorCode.INVALID_MESSAGE,
                f"{self.request.channels} separate channels were announced, not {audio.channels}.",
            )
        self._format = audio

    def accept(self, pcm: bytes) -> None:
        """Take one message of audio and pass it to the engine.

        Raises:
            Refusal: it does not fit the announced format, or is too long.
        """
        audio = self._format
        try:
            audio.check(pcm, max_seconds=MAX_FRAME_SECONDS)
        except AudioTooLong as error:
            raise Refusal(ErrorCode.FRAME_TOO_LARGE, f"{error}.") from error
        except PcmError as error:
            raise Refusal(ErrorCode.INVALID_AUDIO, f"{error}.") from error
        self.last_audio = monotonic()
        resampler = self._resampler or self._fix_format()
        self._received_bytes += len(pcm)
        self._write(resampler.process(pcm))

    def _write(self, converted: bytes) -> None:
        """Pass converted audio to the engine, but for what it does not need again."""
        if self._skip_bytes:
            skipped = min(self._skip_bytes, len(converted))
            self._skip_bytes -= skipped
            converted = converted[skipped:]
        if converted:
            self._recognition.write(converted)

    def _fix_format(self) -> Resampler:
        """Make the resampler for the format, which may not change from the first audio on."""
        self._resampler = Resampler(self._format, mixed=not self.request.separate)
        if self._streams.max_seconds is not None:
            self._max_bytes = self._streams.max_seconds * self._format.bytes_per_second
        return self._resampler

    @property
    def backlogged(self) -> bool:
        """Whether the engine is so far behind that no audio should be read before `catch_up`."""
        return self._recognition.backlogged

    async def catch_up(self) -> None:
        """Wait until the engine has processed enough of the backlog."""
        self._waits_for_engine = True
        await self._recognition.drain()
        self._waits_for_engine = False
        self.last_audio = monotonic()

    def finish(self) -> None:
        """End the audio; `finished` returns after the last final."""
        if self._resampler is not None:
            self._write(self._resampler.flush())
            self._resampler = None
        self._recognition.end()

    # --- captions out --------------------------------------------------------------------------

    async def finished(self) -> None:
        """Wait until everything that was spoken is published; call `finish` before.

        Raises:
            Refusal: the engine failed for good.
            sqlite3.Error: a final could not be kept.
        """
        try:
            await self._recognition.finished()
        except EngineError as error:
            raise self._refusal(error) from error
        finally:
            self._publisher.retract_open()

    @property
    def checkpoint(self) -> Checkpoint:
        """How far the published results are complete."""
        return self._recognition.checkpoint

    def divert(self, sink: FinalSink) -> None:
        """Give the finals that follow to `sink`."""
        self._publisher.sink = sink

    def retract(self) -> None:
        """Retract what will not become final here."""
        self._publisher.retract_open()
        self._publisher.retract_waiting()

    def _publish(self, result: Result) -> None:
        """Publish an engine's result. A final that cannot be kept is not published."""
        if self._moment_of is not None:
            moment = self._moment_of(round(result.start * SAMPLE_RATE))
        else:
            moment = datetime.now(UTC) - timedelta(seconds=self._since(result.start))
        self._publisher.publish(result, moment)
        self._measure(result)

    def _notify_owner(self, frame: bytes, *, is_final: bool) -> None:
        self.owner.on_published(frame, is_final=is_final)

    def ack(self) -> Ack:
        """Return how much audio was received and processed."""
        lag = self._recognition.lag
        telemetry.lag.observe(lag)
        telemetry.audio_seconds.inc(self.received - self._counted)
        self._counted = self.received
        return Ack(
            received=round(self.received, 3),
            processed=round(max(0.0, self.received - lag), 3),
            lag=round(lag, 3),
        )

    @property
    def received(self) -> float:
        """Seconds of the stream's audio up to the end of what was received."""
        return self._format.seconds(self._received_bytes)

    @property
    def finals(self) -> int:
        """Utterances of the stream that became final so far."""
        return self._publisher.finals

    @property
    def idle_seconds(self) -> float:
        """Seconds without audio from the client; 0 while it is not read because of a backlog."""
        return 0.0 if self._waits_for_engine else monotonic() - self.last_audio

    @property
    def is_exhausted(self) -> bool:
        """Whether the stream has received all the audio that the operator allows."""
        return self._received_bytes >= self._max_bytes

    def _measure(self, result: Result) -> None:
        """Record in the metrics how long after its words a result came."""
        if result.is_final:
            telemetry.final_delay.observe(max(0.0, self._since(result.end)))
        elif not self._first_partial_seen:
            self._first_partial_seen = True
            telemetry.first_partial_delay.observe(max(0.0, self._since(result.start)))

    def _since(self, position: float) -> float:
        """Return how many seconds ago the audio at `position` was spoken.

        Counted back from the last audio, so that pauses of the client do not distort it.
        """
        return monotonic() - self.last_audio + self.received - position

    def _refusal(self, error: EngineError) -> Refusal:
        """Return the client's refusal for `error`; log it unless the client's options caused it."""
        if not isinstance(error, UnsupportedLanguage | OptionError):
            kind = type(error).__name__
            log.warning("stream_failed", stream=self.id, error=str(error), kind=kind)
        return to_refusal(error)
