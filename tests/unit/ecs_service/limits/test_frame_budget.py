"""How many small frames a client may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_service.limits.frame_budget import BURST, FrameBudget
from transcripts.protocol import SMALL_FRAMES_PER_SECOND

pytestmark = pytest.mark.unit

#: A browser's smallest pieces of audio: 128 samples at 48 kHz.
PIECES_PER_SECOND = 48_000 / 128


def pass_through(budget: FrameBudget, times: list[float]) -> list[float]:
    """Return when frames that come at `times` are read, by a client that is held back."""
    read, free = [], 0.0
    for time in times:
        now = max(time, free)
        budget.left -= 1
        if budget.left < 0:
            free = now + budget.refill(now)
        read.append(now)
    return read


def test_a_browsers_smallest_pieces_are_never_held_back() -> None:
    times = [number / PIECES_PER_SECOND for number in range(30_000)]

    assert pass_through(FrameBudget(0.0), times) == times


def test_five_seconds_of_them_after_a_stall_are_read_at_once() -> None:
    stall = 10.0
    times = [stall] * round(5 * PIECES_PER_SECOND)

    assert pass_through(FrameBudget(0.0), times) == times


@given(st.lists(st.floats(0, 0.02), max_size=300), st.integers(1, 40))
def test_no_client_is_read_more_than_it_earned(pauses: list[float], each: int) -> None:
    times, now = [], 0.0
    for pause in pauses:
        now += pause
        times += [now] * each

    read = pass_through(FrameBudget(0.0), times)

    for number, when in enumerate(read):
        assert number <= 2 * BURST + 1 + when * SMALL_FRAMES_PER_SECOND


def test_who_overdrew_waits_until_it_has_earned_that() -> None:
    budget = FrameBudget(0.0)
    budget.left = -SMALL_FRAMES_PER_SECOND * 3

    wait = budget.refill(1.0)

    assert wait == pytest.approx(2.0)
    assert budget.refill(1.0 + wait) == 0
