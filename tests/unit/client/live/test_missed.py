from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.live.missed import FinalNumbers

pytestmark = pytest.mark.unit


@given(received=st.lists(st.integers(1, 40)), total=st.integers(0, 40))
def test_it_knows_how_many_finals_are_missing(received: list[int], total: int) -> None:
    numbers = FinalNumbers()
    for number in received:
        numbers.add(number)
    assert numbers.missing_of(total) == len(set(range(1, total + 1)) - set(received))
    assert numbers.has_gap == (set(received) != set(range(1, len(set(received)) + 1)))


def test_what_it_remembers_is_bounded() -> None:
    numbers = FinalNumbers()
    for number in range(2, 10_000, 2):
        numbers.add(number)
    assert len(numbers._beyond) <= 1_000
