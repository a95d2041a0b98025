"""The wait before another attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.backoff import backoff

pytestmark = pytest.mark.unit


@given(failures=st.integers(1, 10_000), draw=st.none() | st.floats(0, 1))
def test_the_wait_doubles_up_to_the_longest_and_jitter_takes_a_half_at_most(
    failures: int, draw: float | None
) -> None:
    ceiling = min(30.0, 0.5 * 2 ** min(failures - 1, 10))

    assert ceiling / 2 <= backoff(failures, first=0.5, longest=30.0, draw=draw) <= ceiling


def test_without_jitter_the_wait_is_exact() -> None:
    waits = [backoff(n, first=60, longest=900, jitter=0) for n in range(1, 7)]

    assert waits == [60, 120, 240, 480, 900, 900]


def test_full_jitter_may_take_all_of_it() -> None:
    assert backoff(3, first=0.1, jitter=1, draw=1) == 0
    assert backoff(3, first=0.1, jitter=1, draw=0) == pytest.approx(0.4)
