"""What a drill found: words against the script, and screens against each other. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from speech.pcm import SAMPLE_RATE
from transcripts.models import Utterance


@dataclass(frozen=True, slots=True)
class Words:
    """The words of the table against those that were spoken."""

    spoken: int
    lost: int
    doubled: int
    wrong: int

    @property
    def is_right(self) -> bool:
        """Whether all words are there once, each at its sample."""
        return not (self.lost or self.doubled or self.wrong)


def check_words(
    stored: Iterable[Utterance], script: Sequence[str], word_seconds: float, seconds: float
) -> dict[str, Words]:
    """Return for each stream how its words compare with the script, to the sample."""
    expected = {
        (round(number * word_seconds * SAMPLE_RATE), script[number % len(script)])
        for number in range(int(seconds / word_seconds))
    }
    places = {place for place, _ in expected}
    found: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for utterance in stored:
        for word in utterance.words:
            found[utterance.stream_id][round(word.start_time * SAMPLE_RATE), word.word] += 1
    return {
        stream: Words(
            spoken=len(expected),
            lost=len(places - {place for place, _ in words}),
            doubled=sum(words.values()) - len({place for place, _ in words}),
            wrong=len(words.keys() - expected),
        )
        for stream, words in found.items()
    }


@dataclass(frozen=True, slots=True)
class Screens:
    """The screens of a conversation's viewers against the table."""

    viewers: int
    #: Finals that a viewer misses, or has and the table does not, in all.
    missing: int
    unknown: int
    #: Viewers whose order is another one than the table's.
    disordered: int

    @property
    def is_right(self) -> bool:
        """Whether all viewers show the same: what the table has."""
        return not (self.missing or self.unknown or self.disordered)


def check_screens(
    stored: Sequence[Utterance], screens: Sequence[Sequence[tuple[str, str]]]
) -> Screens:
    """Compare what viewers show, as (id, text) in order, with the table."""
    in_order = [(one.utterance_id, one.text) for one in sorted(stored, key=lambda u: u.sort_key)]
    known = set(in_order)
    return Screens(
        viewers=len(screens),
        missing=sum(len(known - set(screen)) for screen in screens),
        unknown=sum(len(set(screen) - known) for screen in screens),
        disordered=sum(not _is_in_order(screen, in_order) for screen in screens),
    )


def _is_in_order(screen: Sequence[tuple[str, str]], expected: Sequence[tuple[str, str]]) -> bool:
    """Return whether what both have is in the same order."""
    known, shown = set(expected), set(screen)
    return [one for one in screen if one in known] == [one for one in expected if one in shown]


def describe(counts: Mapping[str, int]) -> str:
    """Return counts as lines of text."""
    return "\n".join(f"  {count:>6}  {what}" for what, count in sorted(counts.items()))
