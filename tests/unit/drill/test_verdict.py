"""A drill that found nothing wrong in a wrong table would be worth nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.drill.verdict import Screens, Words, check_screens, check_words
from tests.support.utterances import utterance
from transcripts.models import Utterance, Word

pytestmark = pytest.mark.unit

SCRIPT = ("alpha", "bravo", "charlie")
BEGAN = datetime(2026, 12, 1, tzinfo=UTC)


def said(*words: tuple[float, str], number: int = 0) -> Utterance:
    return utterance(
        utterance_id=f"stream-{number}",
        timestamp=BEGAN + timedelta(seconds=words[0][0]),
        text=" ".join(word for _, word in words),
        words=tuple(
            Word(word=word, start_time=start, end_time=start + 1, confidence=1)
            for start, word in words
        ),
    )


FIRST = said((0, "alpha"), (1, "bravo"))
SECOND = said((2, "charlie"), (3, "alpha"), number=1)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([FIRST, SECOND], Words(4, lost=0, doubled=0, wrong=0)),
        ([FIRST], Words(4, lost=2, doubled=0, wrong=0)),
        ([FIRST, SECOND, SECOND], Words(4, lost=0, doubled=2, wrong=0)),
        ([FIRST, said((2.1, "charlie"), (3, "alpha"))], Words(4, lost=1, doubled=0, wrong=1)),
        ([FIRST, said((2, "bravo"), (3, "alpha"))], Words(4, lost=0, doubled=0, wrong=1)),
    ],
    ids=["right", "lost", "doubled", "at another sample", "another word"],
)
def test_words_are_compared_with_the_script_to_the_sample(
    stored: list[Utterance], expected: Words
) -> None:
    found = check_words(stored, SCRIPT, 1.0, 4.0)["stream"]

    assert found == expected
    assert found.is_right == (expected == Words(4, lost=0, doubled=0, wrong=0))


A, B = ("stream-0", "alpha bravo"), ("stream-1", "charlie alpha")


@pytest.mark.parametrize(
    ("screen", "expected"),
    [
        ([A, B], Screens(1, missing=0, unknown=0, disordered=0)),
        ([A], Screens(1, missing=1, unknown=0, disordered=0)),
        ([B, A], Screens(1, missing=0, unknown=0, disordered=1)),
        ([A, B, ("other-0", "who")], Screens(1, missing=0, unknown=1, disordered=0)),
        ([A, ("stream-1", "other words")], Screens(1, missing=1, unknown=1, disordered=0)),
    ],
    ids=["right", "missing", "in another order", "unknown", "changed"],
)
def test_screens_are_compared_with_the_table(
    screen: list[tuple[str, str]], expected: Screens
) -> None:
    found = check_screens([SECOND, FIRST], [screen])

    assert found == expected
    assert found.is_right == (expected == Screens(1, missing=0, unknown=0, disordered=0))
