"""Wording that messages share: the nearest known word, and lists such as "a, b or c"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest of `known`, or else all of them."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"


def join_alternatives(words: Iterable[object]) -> str:
    """Return the words as a choice: `a, b or c`."""
    *others, last = map(str, words)
    return f"{', '.join(others)} or {last}" if others else last
