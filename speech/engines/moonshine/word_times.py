"""The place of each word in the audio of its segment.

The model's decoder has no attention to read times from. Where pocketsphinx is installed, its
acoustic model aligns the words with the audio. Words that its dictionary lacks and the words beside
them, and all words where it is not installed, share the time between the others by their length,
silence left out.

Measured against the times of Whisper tiny.en, over 145 words of the recordings of the tests and 874
words of others: how far starts are off, seconds.

    aligned      median .11 and .11    nine in ten below .22 and .41
    by length    median .18 and .16    nine in ten below .45 and .56

Of these words 26 were unknown or beside an unknown one: .17 in the median, .22 where the aligner's
times of its neighbours were kept. Keeping only their outer edges was no better. Aligning takes
0.012 s of a core for a second of speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby, pairwise
from typing import Any, Final

import numpy as np

from speech.pcm import BYTES_PER_SAMPLE, BYTES_PER_SECOND, SAMPLE_RATE

#: Start and end of a word in seconds of the segment.
Times = tuple[float, float]

#: Frames a second in which pocketsphinx counts.
_FRAMES: Final = 100
#: The end and the beginning of words take time, too: so many letters of each.
_EDGE_LETTERS: Final = 1.5
#: The window in which the loudness is measured, samples: 32 ms.
_WINDOW: Final = 512
#: The share of time that a quiet window gets, so that times keep growing.
_QUIET: Final = 0.02
#: A window is quiet below this part of the loudness that one in twenty exceeds.
_QUIET_PART: Final = 0.08


class WordAligner:
    """Aligns words with audio; without pocketsphinx, by their length alone."""

    def __init__(self) -> None:
        self._decoder: Any = None
        if find_spec("pocketsphinx") is not None:
            from pocketsphinx import Decoder  # noqa: PLC0415 - where it is installed

            # Without a language model, which recognition needs and an alignment does not.
            self._decoder = Decoder(lm=None, loglevel="FATAL", bestpath=False)

    def align(self, pcm: bytes, words: Sequence[str]) -> list[Times]:
        """Return the times of all words, in order.

        Args:
            pcm: 16 kHz, mono, s16le.
            words: without punctuation.
        """
        return fill_gaps(pcm, words, self._align_known(pcm, words))

    def _align_known(self, pcm: bytes, words: Sequence[str]) -> dict[int, Times]:
        """Return the times of the words that the dictionary has, by their number."""
        if self._decoder is None:
            return {}
        spellings = [word.lower().replace("\u2019", "'") for word in words]
        known = [
            number
            for number, spelling in enumerate(spellings)
            if self._decoder.lookup_word(spelling) is not None
        ]
        if not known:
            return {}
        self._decoder.set_align_text(" ".join(spellings[number] for number in known))
        self._decoder.reinit_feat()  # nothing stays of the segment before
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(pcm, full_utt=True)
        finally:
            self._decoder.end_utt()
        found = [
            (each.start_frame / _FRAMES, (each.end_frame + 1) / _FRAMES)
            for each in self._decoder.seg() or ()
            if not each.word.startswith(("<", "[", "+", "("))
        ]
        if len(found) != len(known):  # it does not reach the last word
            return {}
        times = dict(zip(known, found, strict=True))
        # The aligner was not given the unknown words, so it gave their time to the words beside
        # them: they share it.
        beside = {
            number + step for number in range(len(words)) if number not in times for step in (-1, 1)
        }
        return {number: each for number, each in times.items() if number not in beside}


def fill_gaps(pcm: bytes, words: Sequence[str], known: dict[int, Times]) -> list[Times]:
    """Return the times of all words: the known ones, and the others between them by length."""
    clock = _SpokenTime(pcm)
    times: list[Times] = []
    for is_known, group in groupby(range(len(words)), key=known.__contains__):
        numbers = list(group)
        if is_known:
            times += [known[number] for number in numbers]
            continue
        begin = times[-1][1] if times else 0.0
        following = known.get(numbers[-1] + 1)
        end = max(begin, following[0]) if following else clock.end
        times += clock.share(begin, max(begin, end), [words[number] for number in numbers])
    return times


class _SpokenTime:
    """A clock that nearly stands still while a segment is quiet."""

    def __init__(self, pcm: bytes) -> None:
        self.end = len(pcm) / BYTES_PER_SECOND
        whole = len(pcm) // (_WINDOW * BYTES_PER_SAMPLE) * _WINDOW
        samples = np.frombuffer(pcm, "<i2", count=whole).astype(np.float32).reshape(-1, _WINDOW)
        loudness = np.sqrt(np.square(samples).mean(axis=1)) if whole else np.zeros(1)
        quiet = loudness < _QUIET_PART * np.percentile(loudness, 95)
        self._spoken = np.concatenate([[0.0], np.cumsum(np.where(quiet, _QUIET, 1.0))])
        self._clock = np.append(np.arange(len(loudness)) * _WINDOW / SAMPLE_RATE, self.end)

    def share(self, begin: float, end: float, words: Sequence[str]) -> list[Times]:
        """Divide the time from `begin` to `end` among words by their length."""
        letters = np.cumsum([0.0, *(len(word) + _EDGE_LETTERS for word in words)])
        first, last = np.interp([begin, end], self._clock, self._spoken)
        spoken = first + (last - first) * letters / letters[-1]
        # Rounding must not move a word out of its gap.
        edges = np.interp(spoken, self._spoken, self._clock).clip(begin, end).tolist()
        return list(pairwise(edges))
