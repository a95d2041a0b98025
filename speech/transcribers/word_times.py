"""Word times fitted to where speech is.

A decoder's attention tells which sound a word belongs to, and is vague about where that begins
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


def fit(words: Sequence[Interval], speech: Sequence[Interval]) -> list[Interval]:
    """Return the times of words with what is silence taken off their ends.

    A word that lies in silence altogether stays where it is.

    Args:
        words: in the order in which they were said.
        speech: where it is, in order, apart from each other.
    """
    begins = [begin for begin, _ in speech]
    fitted: list[Interval] = []
    before = float("-inf")
    for start, end in words:
        at = bisect_right(begins, start) - 1
        first = start
        if at < 0 or start >= speech[at][1]:  # in silence
            if at + 1 < len(speech) and begins[at + 1] < end:
                first = begins[at + 1]
        elif before < begins[at] and start - begins[at] < LATEST:
            first = begins[at]
        at = bisect_left(begins, end) - 1
        last = min(end, speech[at][1]) if at >= 0 and speech[at][1] > first else end
        fitted.append((first, last))
        before = end
    return fitted
