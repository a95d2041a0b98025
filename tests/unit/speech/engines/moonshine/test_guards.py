from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.moonshine.guards import count_loop, is_ghost

pytestmark = pytest.mark.unit

#: Seconds in which any of the texts can be spoken.
SLOW = 60.0


@pytest.mark.parametrize(
    ("text", "probabilities", "rejected"),
    [
        ("", (), True),
        ("Hm.", (0.2, 0.6), True),
        ("Words", (0.2,) * 40, True),
        ("You.", (0.7, 0.9), True),
        ("You know.", (0.7, 0.9), False),
        ("Hm.", (0.4, 0.6), False),
        ("Yes", (0.9,), False),
    ],
)
def test_what_the_model_doubts_or_makes_of_noise_is_rejected(
    text: str, probabilities: tuple[float, ...], *, rejected: bool
) -> None:
    assert is_ghost(text, probabilities) == rejected


@given(
    st.lists(st.integers(0, 3), max_size=5), st.lists(st.integers(0, 9), min_size=1, max_size=12)
)
def test_what_comes_four_times_in_a_row_is_a_loop_if_it_is_long(
    before: list[int], repeated: list[int]
) -> None:
    times = max(4, math.ceil(32 / len(repeated)))
    tokens = before + repeated * times

    assert 0 < count_loop(tokens, SLOW) < len(tokens)
    kept = tokens[: -count_loop(tokens, SLOW)]
    assert kept[-1] == tokens[-1]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_what_comes_three_times_faster_than_people_speak_is_a_loop(repeated: list[int]) -> None:
    tokens = [10, 11, *repeated * 3]

    assert count_loop(tokens, len(tokens) / 13) > 0


@pytest.mark.parametrize(
    "tokens", [[], [1], [1] * 31, [1, 2] * 15, [1, 2, 3, 4, 5] * 6, [*range(13)] * 4]
)
def test_what_people_repeat_is_none(tokens: list[int]) -> None:
    assert count_loop(tokens, SLOW) == 0
