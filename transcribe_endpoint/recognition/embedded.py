"""A recogniser that uses an engine of `speech.engines`, so that results are what was spoken.

Every engine takes 16 kHz and one channel, so audio is resampled, and a stream of two channels is
recognised as two streams.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import numpy as np
import structlog

from speech.engines.base import Engine, Recognition, RecognitionOptions, Result
from speech.engines.errors import EngineError, EngineUnavailable, UnsupportedLanguage
from speech.pcm import PcmFormat
from speech.resample import Resampler
from transcribe_endpoint.errors import (
    BadRequest,
    InternalFailure,
    LimitExceeded,
    ServiceError,
    ServiceUnavailable,
)
from transcribe_endpoint.recognition.recogniser import ResultHandler, StreamRecognition
from transcribe_endpoint.recognition.results import SpokenSegment, SpokenWord, language_of, render
from transcribe_endpoint.requests import TranscribeRequest

#: Seconds of audio that may wait for the engine. The service also allows at most five minutes of
#: audio ahead of real time.
MAX_WAITING_SECONDS: Final = 300.0
#: Seconds in which the engine must finish after the audio has ended.
FINISH_SECONDS: Final = 120.0

log = structlog.get_logger(__name__)


class EngineRecogniser:
    """Recognises with an engine. An async context manager: the engine is warm inside."""

    def __init__(self, engine: Engine) -> None:
        """Take over `engine`, which nothing else may use."""
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Start the engine.

        Raises:
            EngineError: it cannot be started.
        """
        await self._engine.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._engine.__aexit__(kind, error, traceback)

    def recognise(self, request: TranscribeRequest, handler: ResultHandler) -> StreamRecognition:
        """Open a recognition of the engine in the background; audio waits until it is open."""
        stream = _Stream(self._engine, request, handler)
        self._tasks.add(stream.task)
        stream.task.add_done_callback(self._tasks.discard)
        return stream


@dataclass(slots=True)
class _Channel:
    """One channel of a stream."""

    recognition: Recognition
    resampler: Resampler
    #: The number in the stream of each open segment, by the engine's own number.
    numbers: dict[int, int] = field(default_factory=dict)


class _Stream:
    """One stream. A task of its own feeds the engine, because feeding may block."""

    def __init__(self, engine: Engine, request: TranscribeRequest, handler: ResultHandler) -> None:
        self._engine = engine
        self._request = request
        self._handler: ResultHandler | None = handler
        self._segments = 0
        self._waiting = bytearray()
        self._ended = False
        self._more = asyncio.Event()
        self._channels: list[_Channel] = []
        self.task = asyncio.get_running_loop().create_task(self._run())

    def audio(self, pcm: bytes) -> None:
        self._waiting += pcm
        self._more.set()
        if len(self._waiting) > MAX_WAITING_SECONDS * self._request.bytes_per_second:
            self._fail(LimitExceeded("Audio is sent faster than it can be recognised."))

    def end(self) -> None:
        self._ended = True
        self._more.set()

    def close(self) -> None:
        self._handler = None
        self._waiting.clear()
        self.task.cancel()

    async def _run(self) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                for number in range(self._request.channels):
                    await self._open(stack, number)
                await self._feed()
                async with asyncio.timeout(FINISH_SECONDS):
                    await self._finish()
        except UnsupportedLanguage as error:
            self._fail(BadRequest(f"The language is not supported here: {error}."))
        except EngineUnavailable as error:
            self._fail(ServiceUnavailable(f"The recogniser is not available: {error}."))
        except (EngineError, TimeoutError) as error:
            self._fail(InternalFailure(f"The recogniser failed: {error or 'it hangs'}."))
        except Exception:
            log.exception("recognition_failed")
            self._fail(InternalFailure("The recogniser failed; this was logged."))
        else:
            if self._handler is not None:
                self._handler.on_end()

    def _fail(self, error: ServiceError) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.on_failure(error)

    async def _open(self, stack: contextlib.AsyncExitStack, number: int) -> None:
        options = RecognitionOptions(language=self._language())
        recognition = self._engine.recognise(options, self._taker(number))
        # Before it opens, because the first result may come at once.
        resampler = Resampler(PcmFormat(self._request.sample_rate))
        self._channels.append(_Channel(recognition, resampler))
        await stack.enter_async_context(recognition)

    def _language(self) -> str:
        """Return the first requested language that the engine knows."""
        known = self._engine.capabilities.languages
        asked = self._request.language_options or (language_of(self._request),)
        return next((language for language in asked if not known or language in known), asked[0])

    def _taker(self, channel: int) -> Callable[[Result], None]:
        return lambda result: self._take(channel, result)

    async def _feed(self) -> None:
        while self._waiting or not self._ended:
            if not self._waiting:
                self._more.clear()
                await self._more.wait()
                continue
            pcm = bytes(self._waiting)
            self._waiting.clear()
            samples = np.frombuffer(pcm, dtype="<i2").reshape(-1, len(self._channels))
            for number, channel in enumerate(self._channels):
                mono = pcm if len(self._channels) == 1 else samples[:, number].tobytes()
                channel.recognition.write(channel.resampler.process(mono))
            for channel in self._channels:
                if channel.recognition.backlogged:
                    await channel.recognition.drain()

    async def _finish(self) -> None:
        for channel in self._channels:
            rest = channel.resampler.flush()
            if rest:
                channel.recognition.write(rest)
            channel.recognition.end()
        for channel in self._channels:
            await channel.recognition.finished()

    def _take(self, channel: int, result: Result) -> None:
        if self._handler is None:
            return
        words = _words(result)
        numbers = self._channels[channel].numbers
        if not words:
            if result.is_final:
                numbers.pop(result.segment, None)
            return
        number = numbers.setdefault(result.segment, self._segments)
        self._segments = max(self._segments, number + 1)
        if result.is_final:
            del numbers[result.segment]
        segment = SpokenSegment(
            number=number,
            words=words,
            is_final=result.is_final,
            channel=channel,
            language=result.language or self._language(),
        )
        self._handler.on_result(render(segment, self._request))


def _words(result: Result) -> list[SpokenWord]:
    """Return the words of a result; spread them evenly where the engine gives no times."""
    texts = result.text.split()
    if result.words:
        # The text has the punctuation, where its words are those of the list.
        marked = texts if len(texts) == len(result.words) else [w.word for w in result.words]
        return [
            SpokenWord(
                text=text,
                start=word.start_time,
                end=word.end_time,
                confidence=word.confidence,
                speaker=result.speaker_label,
            )
            for text, word in zip(marked, result.words, strict=True)
        ]
    pace = (result.end - result.start) / max(len(texts), 1)
    return [
        SpokenWord(text=text, start=result.start + n * pace, end=result.start + (n + 1) * pace)
        for n, text in enumerate(texts)
    ]
