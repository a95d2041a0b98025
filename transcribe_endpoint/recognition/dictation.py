"""A recogniser that reads its words from the samples, and a function that makes such audio.

Audio that is sent a second time, or begins elsewhere, gives the same words again. Tests of a client
that reconnects need that: with a script, every stream would begin at its first line.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from transcribe_endpoint.recognition.recogniser import ResultHandler, StreamRecognition
from transcribe_endpoint.recognition.results import SpokenSegment, SpokenWord, render
from transcribe_endpoint.requests import TranscribeRequest

_Samples = npt.NDArray[np.int16]

#: The sample value of word 0, and the distance from one word's value to the next.
DICTATED_LEVEL: Final = 1_024
DICTATED_STEP: Final = 64
#: How many words there are.
DICTATED_WORDS: Final = 480
#: Samples below this are silence, also after a conversion of the sample rate.
DICTATED_SILENCE: Final = 512
#: Seconds of silence that end a segment.
DICTATED_PAUSE: Final = 0.5


def dictate(
    words: Iterable[tuple[int, float, float]], *, seconds: float, sample_rate: int = 16_000
) -> bytes:
    """Return audio that `Dictation` recognises as `words`: s16le, mono.

    Args:
        words: number (0 to 479), start and end in seconds of each; silence between two.
        seconds: the length of the audio.
        sample_rate: Hz.

    Raises:
        ValueError: there is no such word.
    """
    samples = np.zeros(round(seconds * sample_rate), dtype="<i2")
    for number, start, end in words:
        if not 0 <= number < DICTATED_WORDS:
            raise ValueError(f"there is no word {number}")
        level = DICTATED_LEVEL + number * DICTATED_STEP
        samples[round(start * sample_rate) : round(end * sample_rate)] = level
    return samples.tobytes()


class Dictation:
    """Reads words from the samples: a stretch of one value is a word, and silence separates words.

    Word 7 is recognised as `word7`. Half a second of silence ends a segment.
    """

    def recognise(self, request: TranscribeRequest, handler: ResultHandler) -> StreamRecognition:
        """Begin a recognition."""
        return _Listening(request, handler)


class _Listening:
    """One stream of dictation."""

    def __init__(self, request: TranscribeRequest, handler: ResultHandler) -> None:
        self._request = request
        self._handler: ResultHandler | None = handler
        self._channels = [_Channel(request.sample_rate) for _ in range(request.channels)]
        self._numbers = [-1] * request.channels
        self._segments = 0

    def audio(self, pcm: bytes) -> None:
        samples: _Samples = np.frombuffer(pcm, dtype="<i2").reshape(-1, len(self._channels))
        for number, channel in enumerate(self._channels):
            self._report(number, channel.recognise(samples[:, number]))

    def end(self) -> None:
        for number, channel in enumerate(self._channels):
            self._report(number, channel.finish())
        if self._handler is not None:
            self._handler.on_end()

    def close(self) -> None:
        self._handler = None

    def _report(self, channel: int, segments: list[tuple[list[SpokenWord], bool]]) -> None:
        for words, is_final in segments:
            if self._numbers[channel] < 0:  # segments are numbered over all channels
                self._numbers[channel] = self._segments
                self._segments += 1
            segment = SpokenSegment(
                number=self._numbers[channel], words=words, is_final=is_final, channel=channel
            )
            if is_final:
                self._numbers[channel] = -1
            if self._handler is not None:
                self._handler.on_result(render(segment, self._request))


class _Channel:
    """Turns the samples of one channel into words, and words into segments."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._pause = round(DICTATED_PAUSE * sample_rate)
        self._at = 0  # samples
        self._words: list[SpokenWord] = []
        self._quiet_since = 0
        #: Of the word that sounds now: where it began, and the sum of its levels.
        self._begun: int | None = None
        self._levels = 0

    def recognise(self, samples: _Samples) -> list[tuple[list[SpokenWord], bool]]:
        """Return the segment after each word or pause that ends here, and whether it is final."""
        segments: list[tuple[list[SpokenWord], bool]] = []
        loud = samples >= DICTATED_SILENCE
        edges = np.flatnonzero(loud[1:] != loud[:-1]) + 1
        bounds = [0, *edges.tolist(), len(samples)]
        for start, end in itertools.pairwise(bounds):
            if loud[start]:
                segments += self._pause_until(self._at + start)
                if self._begun is None:
                    self._begun = self._at + start
                self._levels += int(samples[start:end].sum(dtype=np.int64))
            elif self._begun is not None:
                segments.append(self._word_until(self._at + start))
        self._at += len(samples)
        if self._begun is None:
            segments += self._pause_until(self._at)
        return segments

    def finish(self) -> list[tuple[list[SpokenWord], bool]]:
        """Return the open segment as final; nothing where none is open."""
        if self._begun is not None:
            self._word_until(self._at)
        if not self._words:
            return []
        words, self._words = self._words, []
        return [(words, True)]

    def _word_until(self, end: int) -> tuple[list[SpokenWord], bool]:
        begun = self._begun or 0
        level = self._levels / max(end - begun, 1)
        number = round((level - DICTATED_LEVEL) / DICTATED_STEP)
        word = SpokenWord(text=f"word{number}", start=begun / self._rate, end=end / self._rate)
        self._words.append(word)
        self._begun, self._levels, self._quiet_since = None, 0, end
        return list(self._words), False

    def _pause_until(self, end: int) -> list[tuple[list[SpokenWord], bool]]:
        if self._begun is not None or not self._words or end - self._quiet_since < self._pause:
            return []
        words, self._words = self._words, []
        return [(words, True)]
