from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.decoding.clock import LONGEST_GAP, STEP_BACK, TOLERANCE, Clock

pytestmark = pytest.mark.unit

FRAME = 0.02


def silences(*times: float | None) -> list[float]:
    """Return the silence before each of some frames of 20 ms."""
    clock = Clock()
    found = []
    for time in times:
        found.append(round(clock.gap(time), 6))
        clock.advance(FRAME)
    return found


def test_a_late_start_and_a_hole_are_filled() -> None:
    assert silences(5.0, 5.02, 11.04) == [5.0, 0.0, 6.0]


def test_what_a_container_rounds_is_no_gap() -> None:
    assert silences(0.0, 0.021, 0.039, 0.06 + TOLERANCE / 2) == [0.0] * 4


def test_a_clock_that_jumps_back_goes_on_from_there() -> None:
    assert silences(60.0, 60.02, 0.0, 0.02, 3.04) == [60.0, 0.0, 0.0, 0.0, 3.0]


def test_a_clock_that_jumps_for_days_was_set_anew() -> None:
    assert silences(0.0, 86_400.0, 86_400.02, 86_402.04) == [0.0, 0.0, 0.0, 2.0]


def test_frames_without_a_time_follow_each_other() -> None:
    assert silences(None, None, 1.04) == [0.0, 0.0, 1.0]


@given(st.lists(st.floats(-STEP_BACK / 2, 0.0), max_size=200))
def test_times_that_jitter_do_not_stretch_a_recording(jitter: list[float]) -> None:
    clock = Clock()
    for number, early in enumerate(jitter):
        clock.gap(number * FRAME + early)
        clock.advance(FRAME)

    assert clock.position <= len(jitter) * FRAME + 1e-6


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=50))
def test_silence_is_bounded_and_time_never_goes_back(times: list[float | None]) -> None:
    clock = Clock()
    for time in times:
        before = clock.position

        gap = clock.gap(time)

        assert 0.0 <= gap <= LONGEST_GAP
        assert clock.position == pytest.approx(before + gap)
