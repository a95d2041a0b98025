from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.transcribe.timeline import ANSWER_SECONDS, MUTE_SECONDS, Settling, Timeline

pytestmark = pytest.mark.unit


def test_without_zeros_both_times_are_the_same() -> None:
    assert Timeline().to_stream_time(12.5) == 12.5


def test_zeros_are_not_in_our_time() -> None:
    timeline = Timeline()
    timeline.insert(10.0, 1.0)
    timeline.insert(10.0, 1.0)
    timeline.insert(15.0, 0.5)

    moments = (9.0, 10.0, 11.0, 12.0, 13.0, 17.0, 17.2, 18.0)
    assert [timeline.to_stream_time(moment) for moment in moments] == [
        9.0, 10.0, 10.0, 10.0, 11.0, 15.0, 15.0, 15.5,
    ]  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=30),
    st.integers(0, 2_000),
)
def test_every_moment_of_our_audio_finds_back_to_itself(
    gaps: list[tuple[int, int]], moment: int
) -> None:
    """Replays what is sent, a second at a time, beside where the timeline places it."""
    timeline = Timeline()
    service: list[int] = []  # for each second of the service's audio: our second
    ours = 0
    for written, zeros in gaps:
        service += range(ours, ours + written)
        ours += written
        timeline.insert(float(ours), float(zeros))
        service += [ours] * zeros
    service += range(ours, ours + 2_001)

    assert timeline.to_stream_time(float(moment)) == service[moment]


def test_a_final_settles_its_audio() -> None:
    settling = Settling(1)
    settling.record_final(0, 4.2)

    assert settling.update(1.0, [None]) == 4.2


def test_silence_is_settled_when_the_service_had_time_to_speak() -> None:
    settling = Settling(1)
    settling.record_sent(1.0, 1.0)
    settling.record_sent(2.0, 2.0)
    settling.record_answer(2.0 + ANSWER_SECONDS - 0.5)

    assert settling.update(10.0, [None]) == 1.0


def test_an_open_segment_keeps_its_audio() -> None:
    settling = Settling(1)
    settling.record_sent(9.0, 9.0)
    settling.record_answer(100.0)

    assert settling.update(100.0, [3.0]) == 3.0


def test_a_mute_service_is_not_believed_for_long() -> None:
    settling = Settling(1)
    settling.record_sent(1.0, 1.0)

    assert settling.update(MUTE_SECONDS, [None]) == 0.0
    assert settling.update(1.0 + MUTE_SECONDS, [None]) == 1.0


def test_audio_that_was_repeated_at_once_takes_its_time_to_settle() -> None:
    settling = Settling(1)
    settling.record_sent(100.0, 1.0)
    settling.record_sent(100.0, 31.0)
    settling.record_answer(101.0 + ANSWER_SECONDS)
    assert settling.update(110.0, [None]) == 1.0
    settling.record_answer(131.0 + ANSWER_SECONDS)
    assert settling.update(140.0, [None]) == 31.0


def test_audio_that_is_repeated_to_a_new_session_takes_its_time_too() -> None:
    settling = Settling(1, began=1_000.0)
    settling.record_sent(1_000.0, 30.0)
    settling.record_answer(1_010.0)

    assert settling.arrival == 1_030.0
    assert settling.update(1_010.0, [None]) == 0.0


def test_no_channel_loses_what_another_has_finished() -> None:
    settling = Settling(2)
    settling.record_final(0, 10.0)

    assert settling.update(1.0, [None, 4.0]) == 0.0


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 30) | st.none(), st.booleans())
    )
)
def test_what_is_settled_only_grows_and_was_sent(
    steps: list[tuple[float, float, float | None, bool]],
) -> None:
    settling, now, position, before = Settling(1), 0.0, 0.0, 0.0
    for passed, written, since, answered in steps:
        now += passed
        position += written
        settling.record_sent(now, position)
        if answered:
            settling.record_answer(now)
        settled = settling.update(now, [since])
        assert before <= settled <= position
        before = settled
