"""Stable words of a text that is decoded again and again: those on which two guesses agree.

Source: LocalAgreement-2 of Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech
Recognition and Translation by Partial Hypothesis Selection", Interspeech 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile


class Agreement:
    """Compares each guess of a segment with the one before it."""

    def __init__(self) -> None:
        self._last: list[str] = []

    def update(self, words: Sequence[str]) -> int:
        """Take the words of the next guess; return how many, from the first, are stable.

        Case does not count: the first letter of a sentence depends on what comes before it.
        """
        folded = [word.casefold() for word in words]
        pairs = zip(self._last, folded, strict=False)
        stable = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self._last = folded
        return stable
