from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.live.pacing import PauseDetector, Schedule, steady_time
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


def test_a_time_in_which_nothing_was_recorded_is_found() -> None:
    audio = PcmFormat(16_000)
    pauses = PauseDetector(audio)
    frame = audio.bytes_per_second // 10
    moments = [100.0, 100.1, 100.22, 100.3, 3_700.4, 3_700.5]
    found = [pauses.pause_before(frame, moment) for moment in moments]
    assert found == [0.0, 0.0, 0.0, 0.0, pytest.approx(3_600.0), 0.0]


def test_the_clock_goes_on() -> None:
    before = steady_time()
    assert steady_time() >= before
