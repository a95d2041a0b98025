from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.moonshine.word_times import Times, fill_gaps

pytestmark = pytest.mark.unit

WORDS = st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=12)


def loud(seconds: float) -> bytes:
    return (b"\x00\x20\x00\xe0" * round(seconds * 8_000))[: round(seconds * 16_000) * 2]


def quiet(seconds: float) -> bytes:
    return bytes(round(seconds * 16_000) * 2)


@given(WORDS, st.lists(st.booleans(), max_size=40), st.integers(0, 900), st.data())
def test_times_are_in_order_and_within_the_segment(
    words: list[str], sounds: list[bool], rest: int, data: st.DataObject
) -> None:
    pcm = b"".join(loud(0.1) if sound else quiet(0.1) for sound in sounds) + bytes(2 * rest)
    end = len(pcm) / 32_000
    edges = sorted(data.draw(st.lists(st.floats(0, end), min_size=24, max_size=24)))
    known: dict[int, Times] = {
        number: (edges[2 * number], edges[2 * number + 1])
        for number in data.draw(st.sets(st.integers(0, len(words) - 1)))
    }

    times = fill_gaps(pcm, words, known)

    assert len(times) == len(words)
    assert all(times[number] == known[number] for number in known)
    flat = [edge for pair in times for edge in pair]
    assert all(before <= after for before, after in pairwise(flat))
    assert flat[0] >= 0
    assert flat[-1] <= end + 1e-9


def test_a_pause_belongs_to_no_word() -> None:
    pcm = quiet(1.0) + loud(1.0) + quiet(2.0) + loud(1.0) + quiet(1.0)

    first, second = fill_gaps(pcm, ["speak", "again"], {})

    assert first[0] < 1.0
    assert 1.9 < first[1] == second[0] < 4.1
    assert second[1] == pytest.approx(6.0, abs=0.01)


def test_a_long_word_takes_longer() -> None:
    [(_, end), _] = fill_gaps(loud(2.0), ["extraordinarily", "so"], {})

    assert end == pytest.approx(2.0 * 16.5 / 20, abs=0.05)


def test_an_unknown_word_lies_between_its_neighbours() -> None:
    times = fill_gaps(loud(3.0), ["a", "Xyzzy", "b"], {0: (0.1, 0.5), 2: (2.0, 2.4)})

    assert times[1] == pytest.approx((0.5, 2.0), abs=0.05)


def test_no_word_takes_no_time() -> None:
    assert fill_gaps(b"", [], {}) == []
    assert np.allclose(fill_gaps(b"", ["a"], {}), 0)
