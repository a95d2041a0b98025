"""Moonshine behind the port of segments: the whole segment is decoded again for every partial.

The fork server and tests import this module, the service never does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from speech.engines.agreement import Agreement
from speech.engines.base import RecognitionOptions
from speech.engines.moonshine.files import find_model
from speech.engines.moonshine.guards import is_ghost
from speech.engines.moonshine.heap import return_memory
from speech.engines.moonshine.model import Guess, MoonshineNetworks
from speech.engines.moonshine.vocabulary import RecognisedWord, Vocabulary
from speech.engines.moonshine.word_times import Times, WordAligner, fill_gaps
from speech.engines.segmented import Hypothesis, SegmentRecogniser
from speech.pcm import SAMPLE_RATE
from speech.segment import SegmentPolicy
from transcripts.models import Word

#: The cost of a partial, and its errors, grow with the length of the segment.
STREAMED: Final = SegmentPolicy(soft_limit=8.0, max_segment=12.0)
#: Without partials, longer segments keep more context for the same cost. From 30 s the model
#: loops.
RECORDED: Final = SegmentPolicy(soft_limit=15.0, max_segment=28.0)
#: The part of a segment's length that passes between two partials. So the cost of all partials of
#: a segment grows with its length, and not with the square of it.
_INTERVAL_SHARE: Final = 0.2
#: Until a segment is so long, partials come three times as often: the first words are awaited most,
#: and cost least. Seconds.
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
        if 0 < length < _FIRST_WORDS:
            return self.partial_interval / 3
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
        self._at_pause = Guess()

    def feed(self, pcm: bytes) -> None:
        """Keep the audio; it is decoded on demand."""
        self._pcm += pcm

    def guess(self) -> Hypothesis:
        """Decode the segment so far; words have their times by length."""
        pcm = bytes(self._pcm)
        return self._partial(pcm, self._transcribe(pcm))

    def pause(self) -> Hypothesis:
        """Decode the segment so far, and keep the text for the final."""
        pcm = bytes(self._pcm)
        self._at_pause = self._transcribe(pcm)
        return self._partial(pcm, self._at_pause)

    def _partial(self, pcm: bytes, guess: Guess) -> Hypothesis:
        words = self._words(guess)
        stable = self._agreement.update([word.text for word in words])
        return self._hypothesis(guess, words, fill_gaps(pcm, _texts(words), {}), stable)

    def finish(self, *, is_paused: bool) -> Hypothesis:
        """Decode the whole segment, unless the pause was its end, and align its words."""
        pcm = bytes(self._pcm)
        guess = self._at_pause if is_paused else self._transcribe(pcm)
        words = self._words(guess)
        return self._hypothesis(guess, words, self._model.aligner.align(pcm, _texts(words)))

    def _transcribe(self, pcm: bytes) -> Guess:
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / _FULL_SCALE
        guess = self._model.networks.transcribe(samples)
        text = self._model.vocabulary.text(guess.tokens)
        return Guess() if is_ghost(text, guess.probabilities) else guess

    def _words(self, guess: Guess) -> list[RecognisedWord]:
        return self._model.vocabulary.words(guess.tokens, guess.probabilities)

    def _hypothesis(
        self,
        guess: Guess,
        words: list[RecognisedWord],
        times: list[Times],
        stable_words: int | None = None,
    ) -> Hypothesis:
        if not words:
            return Hypothesis()
        return Hypothesis(
            text=self._model.vocabulary.text(guess.tokens),
            words=tuple(
                Word(
                    word=word.text,
                    start_time=round(self._start + begin, 3),
                    end_time=round(self._start + end, 3),
                    confidence=min(1.0, word.confidence),
                )
                for word, (begin, end) in zip(words, times, strict=True)
            ),
            stable_words=stable_words,
        )


def _texts(words: list[RecognisedWord]) -> list[str]:
    return [word.text for word in words]
