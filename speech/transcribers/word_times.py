"""Word times fitted to where speech is.

A decoder's attention shows which sound a word belongs to, and is vague about where that begins
after a pause. Voice activity is exact about that and knows no words. Pure; times are seconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, TypeAlias

#: From when to when.
Interval: TypeAlias = tuple[float, float]

#: A first word that begins so late after its speech does began with it.
LATEST: Final = 0.5
#: The first word of a segment with less speech than this before a pause was said after it.
SCRAP: Final = 0.2


def fit(segments: Sequence[Sequence[Interval]], speech: Sequence[Interval]) -> list[list[Interval]]:
    """Return the times of the words of segments with what is silence taken off their ends.

    A word that lies in silence altogether stays where it is, unless it begins a segment.

    Args:
        segments: and their words, in the order in which they were said.
        speech: where it is, in order, apart from each other.
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
    """Return the words, the first one beside the second where only a scrap of it was before."""
    if len(words) > 1:
        (start, end), (following, _) = words[:2]
        at = bisect_right(begins, start) - 1
        spoken = min(end, speech[at][1]) - start if at >= 0 else 0.0
        if spoken < SCRAP and at + 1 < len(speech) and start < begins[at + 1] <= following:
            return [(begins[at + 1], following), *words[1:]]
    return list(words)
