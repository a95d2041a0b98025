"""Fitting word times to the spans of speech.

A decoder's attention assigns words to audio, but is vague about the beginning of a word after a
pause. Voice activity detection is exact about that, without words. Pure; times are seconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, TypeAlias

#: Start and end.
Interval: TypeAlias = tuple[float, float]

#: A first word that starts less than this after its speech starts with it.
LATEST: Final = 0.5
#: The first word of a segment with less speech than this before a pause belongs after the pause.
SCRAP: Final = 0.2


def fit_word_times(
    segments: Sequence[Sequence[Interval]], speech: Sequence[Interval]
) -> list[list[Interval]]:
    """Return the times of the words of segments, without the silence at their ends.

    A word within silence keeps its times, unless it begins a segment.

    Args:
        segments: the words of each segment, in order.
        speech: the spans of speech, in order and without overlaps.
    """
    begins = [begin for begin, _ in speech]
    before = float("-inf")
    fitted = []
    for words in segments:
        times = []
        for start, end in _after_a_pause(words, speech, begins):
            at = bisect_right(begins, start) - 1
            first = start
            if at < 0 or start >= speech[at][1]:  # in silence
                if at + 1 < len(speech) and begins[at + 1] < end:
                    first = begins[at + 1]
            elif before < begins[at] and start - begins[at] < LATEST:
                first = begins[at]
            at = bisect_left(begins, end) - 1
            last = min(end, speech[at][1]) if at >= 0 and speech[at][1] > first else end
            times.append((first, last))
            before = end
        fitted.append(times)
    return fitted


def _after_a_pause(
    words: Sequence[Interval], speech: Sequence[Interval], begins: Sequence[float]
) -> list[Interval]:
    """Return the words, with a first word moved past a pause that has only a scrap of it before."""
    if len(words) > 1:
        (start, end), (following, _) = words[:2]
        at = bisect_right(begins, start) - 1
        spoken = min(end, speech[at][1]) - start if at >= 0 else 0.0
        if spoken < SCRAP and at + 1 < len(speech) and start < begins[at + 1] <= following:
            return [(begins[at + 1], following), *words[1:]]
    return list(words)
