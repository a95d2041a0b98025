"""Breaks a text into units: where lines may end, how wide they are, and when they are spoken.

Width is counted in columns: a full-width character (most of Chinese, Japanese and Korean) takes
two, a combining mark none. So one limit does for all scripts: 42 columns are 42 Latin letters, or
21 Chinese characters.

A text is cut into *units*, between which a line may end. In most scripts spaces
separate units. Chinese, Japanese, Thai, Lao, Khmer and Burmese have no spaces between words; there
units are the words of the engine, and where it gives none, single characters with the marks that
belong to them. A line does not begin with a closing mark, nor end with an opening one (the
Japanese rule *kinsoku shori*, JIS X 4051).

Units get the times of the words that they cover. An engine may spell a word differently than the
text, or omit it. Units that get no time this way share the time between their neighbours, in
proportion to their width.
"""
# ruff: noqa: RUF001 - punctuation of other scripts looks like ours, and is meant

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from transcripts.models import Word

#: How good a place it is to end a cue or a line at, after a unit.
SENTENCE: Final = 2
CLAUSE: Final = 1

#: Ends a sentence, perhaps before a closing quotation mark.
_SENTENCE_END: Final = re.compile(r"[.!?…。！？｡։؟।]['\"’”»›)\]）」』】]*\Z")
_CLAUSE_END: Final = re.compile(r"[,;:—–、，；：،]['\"’”»›)\]）」』】]*\Z")

#: Scripts that write words without spaces between them, by ranges of code points: Thai and Lao,
#: Burmese, Khmer, kana and CJK symbols, ideographs, half-width kana, ideographs beyond the BMP.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff9f"
    "\U00020000-\U0003ffff]"
)
#: Characters that begin no line: closing marks, small and lengthening kana, trailing Thai vowels.
_NOT_FIRST: Final = frozenset(
    "、。，．・：；？！）」』】〕》〉］｝’”…‥ー々ゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ"
    ",.:;?!)]}%°\u0e2f\u0e30\u0e32\u0e33\u0e45\u0e46"
)
#: Characters that end no line: opening marks, Thai and Lao vowels that are written before.
_NOT_LAST: Final = frozenset(
    "（「『【〔《〈［｛‘“([{\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4"
)
_JOINERS: Final = frozenset("\u200d\ufe0f")


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of text that is not broken across lines. Times are milliseconds."""

    text: str
    #: The separator from the unit before on the same line: a space, or nothing.
    space: str
    start: int
    end: int
    #: Columns, without the space.
    width: int
    #: Whether a `SENTENCE` or a `CLAUSE` ends with it, or 0.
    ends: int


def width(text: str) -> int:
    """Return the width of `text` in columns."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def clean(text: str) -> str:
    """Return `text` as one line: no control characters, no spaces in a row or at the ends."""
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(each) in _SPACES else each for each in text)
        text = text.replace("\ufeff", "")  # at the begin of a file it would be taken for a mark
    return " ".join(text.split())


def units(text: str, start: float, end: float, words: Sequence[Word] = ()) -> list[Unit]:
    """Cut a text that is spoken from `start` to `end` (seconds) into units.

    The times of units never decrease and stay between `start` and `end`, whatever `words` have.
    """
    text = clean(text)
    if not width(text):  # nothing that anybody could see
        return []
    first = _milliseconds(start)
    last = max(first, _milliseconds(end))
    found = _find(text, words)
    spans = _spans(text, [(place.begin, place.end) for place in found])
    times = _times(text, spans, found, first, last)
    return [
        Unit(
            text=text[begin:stop],
            space=" " if begin and text[begin - 1] == " " else "",
            start=span[0],
            end=span[1],
            width=width(text[begin:stop]),
            ends=_ends(text[begin:stop]),
        )
        for (begin, stop), span in zip(spans, times, strict=True)
    ]


#: Categories of characters that become spaces: controls, halves of characters, separators.
_SPACES: Final = frozenset({"Cc", "Cs", "Zl", "Zp", "Zs"})


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _ends(text: str) -> int:
    if _SENTENCE_END.search(text):
        return SENTENCE
    return CLAUSE if _CLAUSE_END.search(text) else 0


# --- the words of the engine, in the text -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the text a word stands (characters), and when it is spoken (seconds)."""

    begin: int
    end: int
    start_time: float
    end_time: float


#: So far ahead is a word looked for, characters; one that is not there must not lead to the end.
_AHEAD: Final = 80


def _find(text: str, words: Iterable[Word]) -> list[_Place]:
    """Return the places of those words that stand in `text`, in their order."""
    folded = text.lower()
    if len(folded) != len(text):  # of the few letters whose lower case is longer
        folded = text
    places: list[_Place] = []
    position = 0
    for word in words:
        wanted = clean(word.word)
        begin = -1
        for each in (wanted.lower(), wanted):
            if wanted and begin < 0:
                begin = folded.find(each, position, position + len(each) + _AHEAD)
        if begin < 0:
            continue
        position = begin + len(wanted)
        places.append(_Place(begin, position, word.start_time, word.end_time))
    return places


# --- units -------------------------------------------------------------------------------------


def _spans(text: str, words: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where units begin and end, without the spaces between them."""
    spans: list[tuple[int, int]] = []
    inside = _inside(len(text), words)
    begin = 0
    for run in text.split(" "):
        stop = begin + len(run)
        cuts = [begin, stop]
        if _UNSPACED.search(run):
            between = [at for at in range(begin + 1, stop) if _may_break(text, at)]
            cuts[1:1] = [at for at in between if not inside[at]]
        spans += pairwise(cuts)
        begin = stop + 1
    return spans


def _inside(length: int, words: Iterable[tuple[int, int]]) -> bytearray:
    """Return for each place between two characters whether it is within a word."""
    inside = bytearray(length + 1)
    for begin, stop in words:
        inside[begin + 1 : stop] = b"\x01" * (stop - begin - 1)
    return inside


def _may_break(text: str, at: int) -> bool:
    """Return whether a line may end before the character at `at`, in a run without spaces."""
    before, after = text[at - 1], text[at]
    if not (_UNSPACED.match(before) or _UNSPACED.match(after)):
        return False  # within a Latin word or a number among ideographs
    if before in _NOT_LAST or after in _NOT_FIRST or before in _JOINERS or after in _JOINERS:
        return False
    return _columns(after) > 0 and unicodedata.category(after) != "Mc"


# --- times -------------------------------------------------------------------------------------


def _times(
    text: str, spans: Sequence[tuple[int, int]], places: Sequence[_Place], first: int, last: int
) -> list[tuple[int, int]]:
    """Return when each unit begins and ends, milliseconds."""
    known = _known(spans, places, first, last)
    times: list[tuple[int, int]] = []
    now = first
    at = 0
    while at < len(spans):
        time = known[at]
        if time is not None:
            now = max(now, time[0])
            times.append((now, max(now, time[1])))
            now = times[-1][1]
            at += 1
            continue
        stop = at
        while stop < len(spans) and known[stop] is None:
            stop += 1
        following = known[stop] if stop < len(spans) else None
        until = max(now, following[0] if following else last)
        widths = [max(1, width(text[begin:end])) for begin, end in spans[at:stop]]
        total, passed, begun = sum(widths), 0, now
        for each in widths:
            passed += each
            end = begun + (until - begun) * passed // total
            times.append((now, end))
            now = end
        at = stop
    return times


def _known(
    spans: Sequence[tuple[int, int]], places: Sequence[_Place], first: int, last: int
) -> list[tuple[int, int] | None]:
    """Return the times of those units that cover words, kept between `first` and `last`."""
    known: list[tuple[int, int] | None] = []
    nearest = 0
    for begin, stop in spans:
        while nearest < len(places) and places[nearest].end <= begin:
            nearest += 1
        start: float | None = None
        end = 0.0
        at = nearest
        while at < len(places) and places[at].begin < stop:
            start = places[at].start_time if start is None else start
            end = places[at].end_time
            at += 1
        if start is None:
            known.append(None)
            continue
        since = min(max(_milliseconds(start), first), last)
        known.append((since, min(max(_milliseconds(end), since), last)))
    return known


def _milliseconds(seconds: float) -> int:
    return round(min(seconds, _LATEST) * 1000)


#: No recording is longer, seconds (30 years); an engine's mistake may be as large as a float.
_LATEST: Final = 1e9
