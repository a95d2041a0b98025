from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.replay_buffer import ReplayBuffer

pytestmark = pytest.mark.unit

positions = st.lists(st.integers(0, 60), max_size=6)


@given(
    channels=st.integers(1, 3),
    pieces=st.lists(st.integers(0, 20), max_size=6),
    settled=positions,
    finals=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), max_size=6),
    max_lead_in=st.integers(0, 30),
)
def test_the_replay_is_the_lead_in_and_all_audio_that_is_in_no_final(
    channels: int,
    pieces: list[int],
    settled: list[int],
    finals: list[tuple[int, int]],
    max_lead_in: int,
) -> None:
    total = sum(pieces)
    frames = np.arange(1, total * channels + 1, dtype="<i2").reshape(-1, channels)
    kept = ReplayBuffer(channels=channels, bytes_per_sample=2, max_lead_in=max_lead_in)
    at = 0
    for piece in pieces:
        kept.append(frames[at : at + piece].tobytes())
        at += piece
    expected = frames.copy()
    for channel, position in finals:
        if channel < channels:
            kept.settle(channel, position)
            expected[:position, channel] = 0
    for position in settled:
        before = kept.start
        assert kept.drop(position) == (kept.start > before)
    start = min(total, max(settled, default=0))

    again = np.frombuffer(b"".join(kept.replay()), dtype="<i2").reshape(-1, channels)

    assert kept.start == start
    assert kept.lead_in == min(start, max_lead_in)
    np.testing.assert_array_equal(again[: kept.lead_in], frames[start - kept.lead_in : start])
    np.testing.assert_array_equal(again[kept.lead_in :], expected[start:])


def test_audio_after_the_finals_is_passed_on_without_a_copy() -> None:
    kept = ReplayBuffer(channels=2, bytes_per_sample=2)
    kept.append(bytes(8))
    later = bytes(range(8))
    kept.append(later)
    kept.settle(1, 2)

    assert list(kept.replay())[1] is later
