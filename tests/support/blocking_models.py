"""Models for the worker processes of tests: they block, fail and count, as they are set to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from speech.engines.base import RecognitionOptions, Result
from speech.engines.blocking import Event, Progress
from speech.vad import VoiceActivity
from transcripts.models import Word


@dataclass(frozen=True, slots=True)
class CountingModel:
    """Makes recognisers that block for `cost` seconds per second of audio."""

    cost: float
    raise_after: float | None

    def open(self, options: RecognitionOptions) -> CountingRecogniser:
        return CountingRecogniser(self, options.language)


class DetectingModel(CountingModel):
    """A model with a voice activity detector."""

    def open(self, options: RecognitionOptions) -> CountingRecogniser:
        VoiceActivity()
        return CountingModel.open(self, options)


class StuckModel(CountingModel):
    """A model whose workers do not open."""

    def open(self, options: RecognitionOptions) -> CountingRecogniser:
        del options
        time.sleep(3_600)
        raise AssertionError


class CountingRecogniser:
    """Reports its process and the number of each second of audio, which it reads in the audio."""

    def __init__(self, model: CountingModel, language: str) -> None:
        self._model = model
        self._language = language
        self._received = b""
        self._reported = 0

    def accept(self, pcm: bytes, *, is_behind: bool = False) -> Iterator[Event]:
        del is_behind
        time.sleep(self._model.cost * len(pcm) / 32_000)
        self._received += pcm
        received = len(self._received) / 32_000
        if self._model.raise_after is not None and received > self._model.raise_after:
            raise RuntimeError("set to fail")
        while received >= self._reported + 1:
            number = int.from_bytes(self._received[self._reported * 32_000 :][:2], "little")
            self._reported += 1
            yield Result(
                segment=self._reported - 1,
                is_final=True,
                text=str(number),
                start=self._reported - 1,
                end=self._reported,
                language=self._language,
                words=(_signature(self._reported - 1.0, self._reported),),
            )
        yield Progress(received, self._reported)

    def finish(self) -> Iterator[Event]:
        received = len(self._received) / 32_000
        yield Progress(received, received)


def track(*, cost: float = 0.0, raise_after: float | None = None) -> CountingModel:
    """Load a model that counts seconds."""
    return CountingModel(cost, raise_after)


def broken() -> CountingModel:
    """Fail to load."""
    raise FileNotFoundError("no model at the place where it should be")


def track_with_threads() -> CountingModel:
    """Use the voice activity detector before workers are forked, which no model may do."""
    list(VoiceActivity().frames(bytes(1_024)))
    return DetectingModel(0.0, None)


def stuck() -> CountingModel:
    """Load a model of which every worker waits for ever."""
    return StuckModel(0.0, None)


def endless() -> CountingModel:
    """Load for ever."""
    time.sleep(3_600)
    raise AssertionError


def counted(seconds: int) -> bytes:
    """Return audio in which each second holds its number."""
    return b"".join(n.to_bytes(2, "little") * 16_000 for n in range(seconds))


def _signature(start: float, end: float) -> Word:
    """Return a word that names the process which reports it."""
    return Word(word=str(os.getpid()), start_time=start, end_time=end, confidence=1.0)
