"""The pipeline of one audio stream: check, resample, recognise, publish.

It knows no protocol: a handler in `api/` feeds it what the client sends and passes on what
comes out. The only buffer is the recognition's own, which is bounded: `accept` returns when
the engine keeps up, and until then the handler does not read from its socket, so that the
client feels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Self
from uuid import uuid4

from ecs_service import telemetry
from ecs_service.conversations.hub import Hub
from ecs_service.refusal import Refusal
from ecs_service.sessions.admission import Admission
from ecs_service.sessions.publish import Promises, Publisher
from speech.engines.base import Engine, Recognition, RecognitionOptions
from speech.engines.errors import EngineError, UnsupportedLanguage
from speech.pcm import AudioTooLong, PcmError, PcmFormat
from speech.resample import Resampler
from transcripts.models import ConversationId, Language, Speaker
from transcripts.protocol import MAX_FRAME_SECONDS, Ack, ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """What a speaker asks for."""

    conversation_id: ConversationId
    speaker: Speaker
    language: Language
    audio: PcmFormat


class Streams:
    """What all streams of a service share, and the way to open one."""

    def __init__(
        self,
        *,
        engine: Engine,
        hub: Hub,
        outbox: Promises,
        admission: Admission,
        max_seconds: float | None = None,
    ) -> None:
        self.engine = engine
        self.hub = hub
        self.outbox = outbox
        self.admission = admission
        self.max_seconds = max_seconds
        self._open: set[Stream] = set()

    def open(self, request: StreamRequest) -> Stream:
        """Return a stream; entering it takes a slot and opens the recognition."""
        return Stream(self, request)

    @contextmanager
    def listed(self, stream: Stream) -> Iterator[None]:
        """Keep `stream` in the list of those that a drain has to end."""
        self._open.add(stream)
        try:
            yield
        finally:
            self._open.discard(stream)

    def drain(self) -> None:
        """Take no new streams and ask the open ones to end."""
        self.admission.draining = True
        for stream in self._open:
            stream.draining.set()


class Stream:
    """One speaker's audio on its way. An async context manager."""

    def __init__(self, streams: Streams, request: StreamRequest) -> None:
        self.id = uuid4().hex
        self.request = request
        self.draining = asyncio.Event()
        self._streams = streams
        self._format = request.audio
        self._resampler: Resampler | None = None
        self._recognition: Recognition
        self._publisher: Publisher
        self._held = AsyncExitStack()
        self._received = 0.0
        self._counted = 0.0  # of it, what the metrics know
        self._began: datetime | None = None
        self._began_monotonic = 0.0
        self._first_result_seen = False
        self._last_audio = monotonic()
        self._waits_for_engine = False

    async def __aenter__(self) -> Self:
        """Take a slot and open the recognition.

        Raises:
            Refusal: every slot is taken, the service drains, the engine does not know the
                language or cannot be reached.
        """
        async with AsyncExitStack() as held:
            held.enter_context(self._streams.admission.slot())
            held.enter_context(self._streams.listed(self))
            conversation = held.enter_context(
                self._streams.hub.speaking(self.request.conversation_id)
            )
            self._publisher = Publisher(
                conversation,
                self._streams.outbox,
                stream_id=self.id,
                speaker=self.request.speaker,
                language=self.request.language,
            )
            options = RecognitionOptions(language=self.request.language)
            try:
                recognition = self._streams.engine.recognise(options)
                self._recognition = await held.enter_async_context(recognition)
            except UnsupportedLanguage as error:
                raise Refusal(ErrorCode.UNSUPPORTED_LANGUAGE, f"{error}.") from error
            except EngineError as error:
                raise _engine_failed(error) from error
            self._held = held.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    # --- audio in ----------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether audio has come."""
        return self._began is not None

    def set_format(self, audio: PcmFormat) -> None:
        """Say what the audio will be, before the first of it."""
        self._format = audio

    async def accept(self, pcm: bytes) -> None:
        """Take one message of audio; returns when the engine is ready for the next.

        Raises:
            Refusal: it is not the audio that was announced, or there is too much of it.
        """
        try:
            self._format.check(pcm, max_seconds=MAX_FRAME_SECONDS)
        except AudioTooLong as error:
            raise Refusal(ErrorCode.FRAME_TOO_LARGE, f"{error}.") from error
        except PcmError as error:
            raise Refusal(ErrorCode.INVALID_AUDIO, f"{error}.") from error
        seconds = self._format.seconds(len(pcm))
        self._last_audio = monotonic()
        if self._resampler is None:
            self._resampler = Resampler(self._format)
            self._began = datetime.now(UTC) - timedelta(seconds=seconds)
            self._began_monotonic = self._last_audio - seconds
        self._received += seconds
        converted = self._resampler.process(pcm)
        if converted:
            self._recognition.write(converted)
        if self._recognition.backlogged:
            self._waits_for_engine = True
            await self._recognition.drain()
            self._waits_for_engine = False
            self._last_audio = monotonic()

    def finish(self) -> None:
        """Tell that no more audio comes: `frames` ends after the last final."""
        if self._resampler is not None:
            rest = self._resampler.flush()
            if rest:
                self._recognition.write(rest)
            self._resampler = None
        self._recognition.end()

    # --- captions out --------------------------------------------------------------------------

    async def frames(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Yield what was published, encoded, and whether it is final.

        Raises:
            Refusal: the engine failed for good.
        """
        try:
            async for result in self._recognition:
                began = self._began or datetime.now(UTC)
                frame = self._publisher.publish(result, began)
                self._measure(is_final=result.is_final, start=result.start, end=result.end)
                if frame is not None:
                    yield frame, result.is_final
        except EngineError as error:
            raise _engine_failed(error) from error
        finally:
            self._publisher.retract()

    def ack(self) -> Ack:
        """Return how far the stream is."""
        lag = self._recognition.lag
        telemetry.lag.observe(lag)
        telemetry.audio_seconds.inc(self._received - self._counted)
        self._counted = self._received
        return Ack(
            received=round(self._received, 3),
            processed=round(max(0.0, self._received - lag), 3),
            lag=round(lag, 3),
        )

    @property
    def received(self) -> float:
        """Seconds of audio taken so far."""
        return self._received

    @property
    def finals(self) -> int:
        """Utterances that became final so far."""
        return self._publisher.finals

    @property
    def silent_for(self) -> float:
        """Seconds since the client could last have sent audio."""
        return 0.0 if self._waits_for_engine else monotonic() - self._last_audio

    @property
    def exhausted(self) -> bool:
        """Whether the stream has had all the audio that the operator allows."""
        limit = self._streams.max_seconds
        return limit is not None and self._received >= limit

    def _measure(self, *, is_final: bool, start: float, end: float) -> None:
        """Note delays against the moment at which the audio would have been spoken live."""
        elapsed = monotonic() - self._began_monotonic
        if is_final:
            telemetry.final_delay.observe(max(0.0, elapsed - end))
        elif not self._first_result_seen:
            self._first_result_seen = True
            telemetry.first_partial_delay.observe(max(0.0, elapsed - start))


def _engine_failed(error: EngineError) -> Refusal:
    return Refusal(ErrorCode.ENGINE_FAILED, f"The recognition engine failed: {error}.")
