from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.live.pacing import Schedule
from speech.pcm import PcmFormat

pytestmark = pytest.mark.unit


def test_a_frame_is_due_when_its_last_sample_has_been_spoken() -> None:
    schedule = Schedule(start=100.0, format=PcmFormat(16_000))
    assert schedule.due(3_200) == pytest.approx(100.1)


def test_late_wake_ups_do_not_add_up() -> None:
    schedule = Schedule(start=0.0, format=PcmFormat(48_000, 2))
    second = PcmFormat(48_000, 2).bytes_per_second
    clock = 0.0
    for sent in range(second // 10, 3600 * second + 1, second // 10):
        clock += schedule.wait(sent, clock)
        clock += 0.03  # the loop wakes up late and sending takes time
    assert clock == pytest.approx(3600.03, abs=1e-6)


@given(start=st.floats(0, 1e6), sent=st.integers(0, 10**9), now=st.floats(0, 1e6))
def test_nobody_waits_for_the_past(start: float, sent: int, now: float) -> None:
    schedule = Schedule(start=start, format=PcmFormat(16_000))
    assert schedule.wait(sent, now) >= 0
    assert schedule.wait(sent, schedule.due(sent)) == 0
