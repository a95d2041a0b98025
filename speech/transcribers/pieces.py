"""Cutting a recording into pieces at its pauses, so that memory does not grow with its length.

    decoded PCM ──► pieces of at most five minutes, each with the spans of its speech
        ──► packed: its speech with short pauses, for the model ──► times mapped back

A piece ends in the middle of the longest pause of its last part, or without one at the quietest
moment of its last seconds. Pure, except for the detector of speech, which is passed in. Positions
are samples of 16 kHz.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from speech.pcm import BYTES_PER_SAMPLE, SAMPLE_RATE

Samples: TypeAlias = NDArray[np.float32]
#: The first sample, and the one after the last.
Span: TypeAlias = tuple[int, int]
#: Returns the probability of speech in each frame of audio (shape: samples, a multiple of a frame).
Judge: TypeAlias = Callable[[Samples], NDArray[np.float32]]

#: A judge's frame, 32 ms.
FRAME: Final = 512
#: The longest piece, and the shortest one except the last.
LONGEST: Final = 300 * SAMPLE_RATE
SHORTEST: Final = 180 * SAMPLE_RATE
#: Without a pause the quietest moment is searched in so many samples at the end of a piece.
QUIET_AMONG: Final = 30 * SAMPLE_RATE
#: The frames of a moment.
_MOMENT: Final = 7
#: The probabilities from which speech begins, and below which it ends.
_BEGINS: Final = 0.5
_ENDS: Final = 0.35
#: A shorter silence is part of the speech around it.
_SHORTEST_PAUSE: Final = round(0.1 * SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a recording."""

    #: The position of its first sample in the recording.
    start: int
    samples: Samples
    #: The spans of its speech, in order.
    speech: tuple[Span, ...]


def cut_pieces(pcm: Iterable[bytes], judge: Judge, *, longest: int = LONGEST) -> Iterator[Piece]:
    """Yield the pieces of a recording (16 kHz, mono, s16le, in parts of any length).

    Together they are the recording without gaps or overlaps.
    """
    shortest = longest * SHORTEST // LONGEST
    pending = bytearray()
    start = 0
    for part in pcm:
        pending += part
        while len(pending) >= longest * BYTES_PER_SAMPLE:
            samples = _samples(pending[: longest * BYTES_PER_SAMPLE])
            speech = find_speech(judge(_whole_frames(samples)), longest)
            end = find_cut(samples, speech, shortest)
            yield Piece(start, samples[:end], _until(speech, end))
            del pending[: end * BYTES_PER_SAMPLE]
            start += end
    if pending:
        samples = _samples(pending)
        speech = find_speech(judge(_whole_frames(samples)), len(samples))
        yield Piece(start, samples, tuple(speech))


def find_speech(probabilities: Iterable[float], length: int) -> list[Span]:
    """Return the spans of speech from the probability of each frame, without very short pauses."""
    found: list[Span] = []
    begin: int | None = None
    for number, probability in enumerate(probabilities):
        at = number * FRAME
        if begin is None and probability >= _BEGINS:
            begin = at
            if found and begin - found[-1][1] < _SHORTEST_PAUSE:
                begin = found.pop()[0]
        elif begin is not None and probability < _ENDS:
            found.append((begin, at))
            begin = None
    if begin is not None:
        found.append((begin, length))
    return [(first, min(last, length)) for first, last in found if first < length]


def find_cut(samples: Samples, speech: list[Span], shortest: int) -> int:
    """Return the end of a piece that is too long, more than `shortest` samples from its start."""
    length = len(samples)
    edges = [0, *(edge for span in speech for edge in span), length]
    pauses = [
        (min(end, length) - max(begin, shortest), (max(begin, shortest) + end) // 2)
        for begin, end in zip(edges[::2], edges[1::2], strict=True)
        if end > max(begin, shortest)
    ]
    if pauses:
        return max(pauses)[1]
    return _quietest(samples, max(shortest, length - QUIET_AMONG))


def _quietest(samples: Samples, begin: int) -> int:
    """Return the middle of the moment with the least energy from `begin` on."""
    rest = samples[begin : begin + (len(samples) - begin) // FRAME * FRAME]
    if len(rest) < _MOMENT * FRAME:
        return len(samples)
    energy = np.square(rest).reshape(-1, FRAME).sum(axis=1)
    moments = np.convolve(energy, np.ones(_MOMENT), mode="valid")
    return begin + (int(moments.argmin()) * FRAME) + _MOMENT * FRAME // 2


def _until(speech: Iterable[Span], end: int) -> tuple[Span, ...]:
    return tuple((begin, min(last, end)) for begin, last in speech if begin < end)


def _samples(pcm: bytes | bytearray) -> Samples:
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)


def _whole_frames(samples: Samples) -> Samples:
    return np.pad(samples, (0, -len(samples) % FRAME))


class Packed:
    """The speech of a piece without long pauses, and the original position of each moment.

    Args:
        piece: the piece.
        around: samples that stay before and after speech; longer pauses become twice that.
    """

    def __init__(self, piece: Piece, *, around: int) -> None:
        length = len(piece.samples)
        self._kept: list[Span] = []
        for begin, end in piece.speech:
            first, last = max(0, begin - around), min(end + around, length)
            if self._kept and first <= self._kept[-1][1]:
                first = self._kept.pop()[0]
            self._kept.append((first, last))
        #: The start of each kept span in `samples`.
        self._starts = [0]
        for begin, end in self._kept:
            self._starts.append(self._starts[-1] + end - begin)
        parts = [piece.samples[begin:end] for begin, end in self._kept]
        self.samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def to_original(self, start: float, end: float) -> tuple[float, float]:
        """Map the times of a word in the packed audio to the piece, in seconds.

        A word belongs to one span, that of its middle.
        """
        middle = (start + end) / 2 * SAMPLE_RATE
        number = min(max(0, bisect_right(self._starts, middle) - 1), len(self._kept) - 1)
        begin, last = (each / SAMPLE_RATE for each in self._kept[number])
        by = begin - self._starts[number] / SAMPLE_RATE
        return min(max(start + by, begin), last), min(max(end + by, begin), last)
