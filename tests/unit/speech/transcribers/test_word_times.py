"""Words' times, fitted to where speech is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.transcribers.word_times import Interval, fit_word_times

pytestmark = pytest.mark.unit

SPEECH = [(1.0, 3.0), (5.0, 6.0)]


@pytest.mark.parametrize(
    ("words", "fitted"),
    [
        ([(0.4, 1.5)], [(1.0, 1.5)]),  # begins in silence
        ([(1.3, 1.5)], [(1.0, 1.5)]),  # its speech began before
        ([(1.6, 1.8)], [(1.6, 1.8)]),  # too late to be sure of that
        ([(1.0, 1.1), (1.3, 1.5)], [(1.0, 1.1), (1.3, 1.5)]),  # another word was before
        ([(2.5, 4.0)], [(2.5, 3.0)]),  # ends in silence
        ([(3.2, 4.8)], [(3.2, 4.8)]),  # in silence altogether
        ([(2.8, 5.4)], [(2.8, 5.4)]),  # across a pause
        ([(3.5, 7.0)], [(5.0, 6.0)]),
    ],
)
def test_a_word_is_where_speech_is(words: list[Interval], fitted: list[Interval]) -> None:
    assert fit_word_times([words], SPEECH) == [fitted]


@pytest.mark.parametrize(
    ("segments", "begins"),
    [
        ([[(1.0, 2.9)], [(2.9, 3.1), (5.3, 5.6)]], 5.0),  # a scrap of the stretch before
        ([[(1.0, 2.9)], [(3.1, 3.2), (5.0, 5.6)]], 5.0),  # in the pause
        ([[(1.0, 2.5)], [(2.6, 2.9), (5.3, 5.6)]], 2.6),  # a word of its own, and then a pause
        ([[(1.0, 2.9)], [(2.9, 3.0)]], 2.9),  # nothing after it to belong to
        ([[(1.0, 2.9)], [(2.9, 3.0), (3.1, 3.2), (5.3, 5.6)]], 2.9),
    ],
)
def test_the_first_word_of_a_segment_is_not_left_before_the_pause(
    segments: list[list[Interval]], begins: float
) -> None:
    _, [(start, _), *_] = fit_word_times(segments, SPEECH)

    assert start == begins


def test_where_no_speech_is_known_words_stay() -> None:
    assert fit_word_times([[(0.0, 1.0)]], []) == [[(0.0, 1.0)]]


@given(
    st.lists(st.floats(0, 100), max_size=20).map(sorted),
    st.lists(st.floats(0, 100), max_size=20, unique=True).map(sorted),
    st.integers(0, 10),
)
def test_words_stay_in_order_and_have_no_negative_length(
    times: list[float], edges: list[float], size: int
) -> None:
    words = list(zip(times[::2], times[1::2], strict=False))
    speech = list(zip(edges[::2], edges[1::2], strict=False))

    fitted = [
        each for times in fit_word_times([words[:size], words[size:]], speech) for each in times
    ]

    assert len(fitted) == len(words)
    assert all(start <= end for start, end in fitted)
    starts = [start for start, _ in fitted]
    assert starts == sorted(starts)
