from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.moonshine.guards import count_loop, is_ghost

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("probabilities", "rejected"),
    [((), True), ((0.2, 0.6), True), ((0.2,) * 40, True), ((0.4, 0.6), False), ((0.9,), False)],
)
def test_a_text_that_the_model_doubts_is_rejected(
    probabilities: tuple[float, ...], *, rejected: bool
) -> None:
    assert is_ghost(probabilities) == rejected


@given(
    st.lists(st.integers(0, 3), max_size=5), st.lists(st.integers(0, 9), min_size=1, max_size=12)
)
def test_what_comes_four_times_in_a_row_is_a_loop_if_it_is_long(
    before: list[int], repeated: list[int]
) -> None:
    times = max(4, math.ceil(32 / len(repeated)))
    tokens = before + repeated * times

    assert 0 < count_loop(tokens) < len(tokens)
    kept = tokens[: -count_loop(tokens)]
    assert kept[-1] == tokens[-1]


@pytest.mark.parametrize(
    "tokens", [[], [1], [1] * 31, [1, 2] * 15, [1, 2, 3, 4, 5] * 6, [*range(13)] * 4]
)
def test_what_people_repeat_is_none(tokens: list[int]) -> None:
    assert count_loop(tokens) == 0
