from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.agreement import APART, Agreement

pytestmark = pytest.mark.unit

GUESSES = st.lists(st.lists(st.sampled_from("ab"), max_size=6), max_size=8)


def stable_after(*guesses: str, apart: float = APART) -> int:
    agreement, stable = Agreement(), 0
    for number, guess in enumerate(guesses):
        stable = agreement.update(guess.split(), number * apart)
    return stable


@pytest.mark.parametrize(
    ("guesses", "stable"),
    [
        (("a b c",), 0),
        (("a b c", "a b d e"), 2),
        (("a b c", "x b c"), 0),
        (("a b", "a b c"), 2),
        (("And so", "and so my"), 2),
        ((), 0),
    ],
)
def test_words_are_stable_when_two_guesses_agree(guesses: tuple[str, ...], stable: int) -> None:
    assert stable_after(*guesses) == stable


def test_guesses_of_nearly_the_same_audio_do_not_count() -> None:
    assert stable_after("a b", "a b", "a b", "a b", "a b", apart=APART / 5) == 0
    assert stable_after("a b", "a b", "a b", "a b", "a b", "a b", apart=APART / 5) == 2


def test_stable_words_stay_so_while_they_are_the_same() -> None:
    assert stable_after("a b", "a b", "a b c", "a b c d") == 3
    assert stable_after("a b", "a b", "x", "a b") == 0


@given(GUESSES)
def test_stable_words_begin_the_guess_and_shrink_only_where_it_changes(
    guesses: list[list[str]],
) -> None:
    agreement = Agreement()
    before: list[str] = []
    for number, guess in enumerate(guesses):
        stable = guess[: agreement.update(guess, number * APART / 2)]
        if guess[: len(before)] == before:
            assert stable[: len(before)] == before
        before = stable
