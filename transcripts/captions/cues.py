"""Cuts speech into cues: the text that is shown at a time, from when to when.

The rules, and where they come from ("Netflix" is its Timed Text Style Guide, general
requirements, and its guidelines for English; "BBC" is the BBC Subtitle Guidelines):

| rule                                             | value                  | source            |
|--------------------------------------------------|------------------------|-------------------|
| lines of a cue                                   | at most 2              | Netflix           |
| columns of a line (see `typesetting`)            | at most 42             | Netflix           |
| shown for                                        | 1 to 7 s               | Netflix: 5/6 to 7 |
| between two cues                                 | at least 80 ms         | Netflix: 2 frames |
| reading speed, columns a second                  | at most 20             | Netflix, adults   |
| delay of a cue until the one before was shown    | at most 1.5 s          | BBC               |
| a cue ends with a sentence, else a clause        | where there is a choice | both             |
| speakers, channels, chunks, and silences of 2 s  | begin a new cue        |                   |

Cues never overlap, and a cue never begins before its first word. Three rules have exceptions. Words
are never broken, so a word that is wider than a line exceeds it, alone. Nothing is left out and
captions stay with the speech, so very fast speech exceeds the reading speed. If several cues would
begin within a second, as when people talk at once, each is shown for a second, and may be late.

All times here are milliseconds, as in the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from transcripts.captions.typesetting import CLAUSE, SENTENCE, Unit, units
from transcripts.models import Word

MAX_COLUMNS: Final = 42
MAX_LINES: Final = 2
MIN_SHOWN: Final = 1_000
MAX_SHOWN: Final = 7_000
GAP: Final = 80
#: Columns a second.
READING_SPEED: Final = 20
MAX_DELAY: Final = 1_500
#: A silence after which the next word is in another cue.
SILENCE: Final = 2_000

#: The prefix of the first words of another speaker.
DASH: Final = "- "


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A stretch of speech of one speaker, times in seconds."""

    text: str
    start: float
    end: float
    words: Sequence[Word] = ()
    #: The speaker, if known.
    voice: str | None = None
    #: The part of the recording that it comes from; no cue holds words of two.
    part: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A text and the time for which it is shown."""

    start: int
    end: int
    lines: tuple[str, ...]
    voice: str | None
    #: Whether somebody else spoke in the cue before; then the first line has room for `DASH`.
    turn: bool


def cues(speech: Iterable[Spoken]) -> list[Cue]:
    """Return the cues of `speech`, in the order of their times."""
    ordered = sorted(speech, key=lambda each: each.start)
    # Where several speak, any cue may turn out to be the first of a turn.
    room = MAX_COLUMNS - (len(DASH) if len({each.voice for each in ordered}) > 1 else 0)
    drafts: list[_Draft] = []
    for passage in _passages(ordered):
        drafts += _cut(passage, room)
    # Of one passage they are in order; passages of two channels may lie within each other.
    drafts.sort(key=lambda draft: draft.start)
    return _timed(drafts)


# --- passages: what may share a cue ---------------------------------------------------------


@dataclass(slots=True)
class _Passage:
    voice: str | None
    part: int
    units: list[Unit]


def _passages(speech: Iterable[Spoken]) -> Iterable[_Passage]:
    current: _Passage | None = None
    for spoken in speech:
        cut = units(spoken.text, spoken.start, spoken.end, spoken.words)
        if not cut:
            continue
        if (
            current
            and (current.voice, current.part) == (spoken.voice, spoken.part)
            and cut[0].start - current.units[-1].end < SILENCE
        ):
            current.units += _joined(current.units[-1], cut)
            continue
        if current:
            yield current
        current = _Passage(spoken.voice, spoken.part, cut)
    if current:
        yield current


def _joined(before: Unit, sequence: list[Unit]) -> list[Unit]:
    """Return the units of a segment as they follow another one: in order, and with a space."""
    following = []
    now = before.end
    for place, unit in enumerate(sequence):
        start = max(unit.start, now)
        now = max(unit.end, start)
        following.append(
            Unit(
                text=unit.text,
                space=unit.space if place else " ",
                start=start,
                end=now,
                width=unit.width,
                ends=unit.ends,
            )
        )
    return following


# --- cutting a passage --------------------------------------------------------------------------

# The costs of a cue's defects, in points. The cheapest way to cut a passage wins.
_ANOTHER_CUE: Final = 10
_ENDS_AFTER: Final = {SENTENCE: 0, CLAUSE: 5, 0: 12}
_SENTENCE_WITHIN: Final = 11
_TOO_SHORT: Final = 25
#: Fewer columns than this look lost, unless they are a sentence.
_FEW_COLUMNS: Final = 14
_LOST: Final = 8
#: A pause after which a cue may end as well as after a sentence.
_PAUSE: Final = 700


@dataclass(frozen=True, slots=True)
class _Draft:
    start: int
    end: int
    lines: tuple[str, ...]
    columns: int
    voice: str | None


def _cut(passage: _Passage, room: int) -> list[_Draft]:
    """Cut a passage into cues at the least cost; first lines have `room` columns.

    Dynamic programming over the places between units: the best way to here is the best way to an
    earlier place, and a cue from there. A cue is short, so few places come into question.
    """
    sequence = passage.units
    ends = _endings(sequence)
    best: list[float] = [0.0, *([float("inf")] * len(sequence))]
    cut_before = [0] * (len(sequence) + 1)
    for begin in range(len(sequence)):
        whole_from_here = begin == 0 or ends[begin - 1] == SENTENCE
        fits = _Fit(room)
        sentences = 0
        for last in range(begin, len(sequence)):
            unit = sequence[last]
            fit = fits.add(unit) and unit.end - sequence[begin].start <= MAX_SHOWN
            if not fit and last > begin:
                break
            following = sequence[last + 1] if last + 1 < len(sequence) else None
            cost = _ANOTHER_CUE + _ENDS_AFTER[ends[last]] + sentences * _SENTENCE_WITHIN
            if following and following.start - GAP - sequence[begin].start < MIN_SHOWN:
                cost += _TOO_SHORT
            whole = whole_from_here and ends[last] == SENTENCE
            if fits.columns < _FEW_COLUMNS and not whole:
                cost += _LOST
            if best[begin] + cost < best[last + 1]:
                best[last + 1] = best[begin] + cost
                cut_before[last + 1] = begin
            if not fit or (following and following.start - unit.end >= SILENCE):
                break
            sentences += ends[last] == SENTENCE
    return _drafts(passage, cut_before, room)


def _endings(sequence: Sequence[Unit]) -> list[int]:
    """Rate the place after each unit by its punctuation and the pause after it."""
    endings = [
        SENTENCE if after.start - unit.end >= _PAUSE else unit.ends
        for unit, after in pairwise(sequence)
    ]
    return [*endings, SENTENCE]


class _Fit:
    """Whether units fit into two lines when each line takes as much as it can."""

    __slots__ = ("_line", "_lines", "_room", "columns")

    def __init__(self, room: int) -> None:
        self._room = room  # of the line that is being filled
        self._line = 0
        self._lines = 1
        self.columns = 0

    def add(self, unit: Unit) -> bool:
        """Add a unit; return whether all still fit."""
        grown = self._line + len(unit.space) * (self._line > 0) + unit.width
        self.columns += len(unit.space) * (self.columns > 0) + unit.width
        if grown <= self._room:
            self._line = grown
            return True
        if self._line == 0 or self._lines == MAX_LINES:
            return False
        self._lines += 1
        self._room = MAX_COLUMNS
        self._line = unit.width
        return self._line <= self._room


def _drafts(passage: _Passage, cut_before: Sequence[int], room: int) -> list[_Draft]:
    drafts = []
    stop = len(passage.units)
    while stop:
        begin = cut_before[stop]
        sequence = passage.units[begin:stop]
        drafts.append(
            _Draft(
                start=sequence[0].start,
                end=sequence[-1].end,
                lines=_lines(sequence, room),
                columns=sum(len(unit.space) + unit.width for unit in sequence),
                voice=passage.voice,
            )
        )
        stop = begin
    return drafts[::-1]


def _lines(sequence: Sequence[Unit], room: int) -> tuple[str, ...]:
    """Return one line, or two that are broken where it reads best and about equally long."""
    widths = [unit.width + len(unit.space) for unit in sequence]
    widths[0] = sequence[0].width
    total = sum(widths)
    if total <= room or len(sequence) == 1:
        return (_line(sequence),)
    best, chosen = float("inf"), 1
    first = 0
    for place in range(1, len(sequence)):
        first += widths[place - 1]
        second = total - first - len(sequence[place].space)
        if first > room or second > MAX_COLUMNS:
            continue
        # A second line that is a little longer reads well; a first one hides more of the picture.
        cost = abs(second - first) / 2 + (4 if first > second else 0) - 6 * sequence[place - 1].ends
        if cost < best:
            best, chosen = cost, place
    return _line(sequence[:chosen]), _line(sequence[chosen:])


def _line(sequence: Sequence[Unit]) -> str:
    return sequence[0].text + "".join(unit.space + unit.text for unit in sequence[1:])


# --- times ---------------------------------------------------------------------------------------


def _timed(drafts: Sequence[_Draft]) -> list[Cue]:
    """Give each cue the time that it is shown, the first to the last."""
    shown: list[Cue] = []
    start = drafts[0].start if drafts else 0
    for place, draft in enumerate(drafts):
        to_read = max(MIN_SHOWN, -(-draft.columns * 1000 // READING_SPEED))
        end = min(max(draft.end, start + to_read), start + MAX_SHOWN)
        if place + 1 < len(drafts):
            due = drafts[place + 1].start
            wanted = min(start + min(to_read, MAX_SHOWN) + GAP, due + MAX_DELAY)
            following = max(due, wanted, start + MIN_SHOWN + GAP)
            end = min(end, following - GAP)
        turn = place > 0 and draft.voice != drafts[place - 1].voice
        shown.append(Cue(start=start, end=end, lines=draft.lines, voice=draft.voice, turn=turn))
        if place + 1 < len(drafts):
            start = following
    return shown
