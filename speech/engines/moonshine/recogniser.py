"""Moonshine behind the port of segments: the whole segment is decoded again for every partial.

The fork server and tests import this module, the service never does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from speech.engines.agreement import Agreement
from speech.engines.base import RecognitionOptions
from speech.engines.moonshine.files import find_model
from speech.engines.moonshine.guards import is_ghost
from speech.engines.moonshine.heap import return_memory, trim
from speech.engines.moonshine.model import MoonshineNetworks
from speech.engines.moonshine.vocabulary import Vocabulary
from speech.engines.moonshine.word_times import Times, WordAligner, fill_gaps
from speech.engines.segmented import Hypothesis, SegmentRecogniser
from speech.pcm import BYTES_PER_SECOND, SAMPLE_RATE
from speech.segment import SegmentPolicy
from transcripts.models import Word

#: The cost of a partial, and its errors, grow with the length of the segment. In noise the detector
#: takes longer to fall below a low threshold, and finals are late: with 0.35, nine in ten finals of
#: 69 recordings came within 0.81 s, with 0.45 within 0.76 s; the word error rate was .106 and .103.
STREAMED: Final = SegmentPolicy(end_threshold=0.45, soft_limit=8.0, max_segment=12.0)
#: Without partials, longer segments keep more context for the same cost. From 30 s the model
#: loops.
RECORDED: Final = SegmentPolicy(soft_limit=15.0, max_segment=28.0)
#: The part of a segment's length that passes between two partials. So the cost of all partials of
#: a segment grows with its length, and not with the square of it.
_INTERVAL_SHARE: Final = 0.2
#: The first words are awaited most, and cost least. So the first partial comes after a shorter
#: interval (of which 0.3 s lie before the speech), and five times as many come until a segment is
#: `_FIRST_WORDS` seconds long.
_FIRST_SHARE: Final = 0.8
_FIRST_WORDS: Final = 1.0
_FULL_SCALE: Final = np.float32(32_768)


@dataclass(frozen=True, slots=True)
class MoonshineModel:
    """The loaded model; see `BlockingModel`."""

    networks: MoonshineNetworks
    vocabulary: Vocabulary
    aligner: WordAligner
    partial_interval: float
    segments: SegmentPolicy

    def open(self, options: RecognitionOptions) -> SegmentRecogniser:
        """Return a recogniser for one stream; the engine has checked the language."""
        return SegmentRecogniser(self, options, self.segments)

    def begin(self, start: float) -> MoonshineDecoding:
        """Begin a segment; see `SegmentDecoder`."""
        return MoonshineDecoding(self, start)

    def interval(self, length: float) -> float:
        """Return the time between two partials; see `SegmentDecoder`."""
        if not length:
            return _FIRST_SHARE * self.partial_interval
        if length < _FIRST_WORDS:
            return self.partial_interval / 5
        return max(self.partial_interval, _INTERVAL_SHARE * length)

    def check(self) -> None:
        """Transcribe a second of silence."""
        self.networks.transcribe(np.zeros(SAMPLE_RATE, np.float32))


def load(
    *,
    folder: str | None = None,
    partial_interval: float = 0.5,
    segments: SegmentPolicy = STREAMED,
) -> MoonshineModel:
    """Load a model.

    Args:
        folder: of the model's files; by default, of the installed package.
        partial_interval: seconds of audio between two partials, at least.
        segments: where segments end.

    Raises:
        EngineUnavailable: the model is missing or cannot be used.
    """
    return_memory()
    files = find_model(folder)
    networks = MoonshineNetworks(files)
    model = MoonshineModel(
        networks,
        Vocabulary.load(files.vocabulary, networks.tokens),
        WordAligner(),
        partial_interval,
        segments,
    )
    model.check()  # what is prepared at the first use is prepared once, for all workers
    return model


class MoonshineDecoding:
    """The decoding of one segment, which begins at `start` seconds of the stream."""

    def __init__(self, model: MoonshineModel, start: float) -> None:
        self._model = model
        self._start = start
        self._pcm = bytearray()
        self._agreement = Agreement()
        self._at_pause = Hypothesis()

    def feed(self, pcm: bytes) -> None:
        """Keep the audio; it is decoded on demand."""
        self._pcm += pcm

    def guess(self) -> Hypothesis:
        """Decode the segment so far; words have their times by length."""
        return self._agree(self._decode(lambda pcm, words: fill_gaps(pcm, words, {})))

    def pause(self) -> Hypothesis:
        """Decode the segment so far, align its words, and keep both for the final."""
        self._at_pause = self._decode(self._model.aligner.align)
        return self._agree(self._at_pause)

    def finish(self, *, is_paused: bool) -> Hypothesis:
        """Decode the whole segment and align its words, unless the pause was its end."""
        final = self._at_pause if is_paused else self._decode(self._model.aligner.align)
        trim()
        return final

    def _agree(self, partial: Hypothesis) -> Hypothesis:
        length = len(self._pcm) / BYTES_PER_SECOND
        stable_words = self._agreement.update([word.word for word in partial.words], length)
        return replace(partial, stable_words=stable_words)

    def _decode(self, align: Callable[[bytes, Sequence[str]], list[Times]]) -> Hypothesis:
        pcm = bytes(self._pcm)
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / _FULL_SCALE
        guess = self._model.networks.transcribe(samples)
        text = self._model.vocabulary.text(guess.tokens)
        if is_ghost(text, guess.probabilities):
            return Hypothesis()
        words = self._model.vocabulary.words(guess.tokens, guess.probabilities)
        if not words:
            return Hypothesis()
        times = align(pcm, [word.text for word in words])
        return Hypothesis(
            text=text,
            words=tuple(
                Word(
                    word=word.text,
                    start_time=round(self._start + begin, 3),
                    end_time=round(self._start + end, 3),
                    confidence=min(1.0, word.confidence),
                )
                for word, (begin, end) in zip(words, times, strict=True)
            ),
        )
