"""Recordings in pieces: nothing is lost, no word is cut, and times come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.transcribers.pieces import FRAME, Packed, Piece, Samples, cut_pieces, find_speech

pytestmark = pytest.mark.unit

LONGEST = 100 * FRAME
SHORTEST = 60 * FRAME


def loud(samples: Samples) -> Any:
    """Judge what is loud to be speech."""
    return (np.abs(samples).reshape(-1, FRAME).max(axis=1) > 0.5).astype(np.float32)


def pcm(levels: list[int]) -> bytes:
    """Return a frame of each level."""
    return np.repeat(np.array(levels, "<i2"), FRAME).tobytes()


def parts(audio: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(audio), size):
        yield audio[at : at + size]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 90)), max_size=12),
    st.integers(2, 4000).map(lambda size: 2 * size),
)
def test_the_pieces_are_the_recording(runs: list[tuple[bool, int]], size: int) -> None:
    audio = pcm([20_000 if is_loud else 5 for is_loud, length in runs for _ in range(length)])

    found = list(cut_pieces(parts(audio, size), loud, longest=LONGEST))

    joined = np.concatenate([piece.samples for piece in found] or [np.zeros(0, np.float32)])
    assert (joined * 32_768).astype("<i2").tobytes() == audio
    at = 0
    for number, piece in enumerate(found):
        assert piece.start == at
        at += len(piece.samples)
        assert len(piece.samples) <= LONGEST
        assert number == len(found) - 1 or len(piece.samples) > SHORTEST
        edges = [edge for span in piece.speech for edge in span]
        assert edges == sorted(edges)
        assert all(0 <= edge <= len(piece.samples) for edge in edges)


def test_a_piece_ends_in_the_longest_pause_of_its_last_part() -> None:
    levels = [20_000] * 200
    for begin, length in ((20, 30), (65, 5), (80, 8), (95, 4)):
        levels[begin : begin + length] = [0] * length

    first, *_ = cut_pieces([pcm(levels)], loud, longest=LONGEST)

    assert len(first.samples) == 84 * FRAME
    assert first.speech[-1] == (70 * FRAME, 80 * FRAME)


def test_without_a_pause_a_piece_ends_where_it_is_quietest() -> None:
    levels = [20_000] * 200
    levels[75:82] = [17_000] * 7  # speech, too

    first, *_ = cut_pieces([pcm(levels)], loud, longest=LONGEST)

    assert 75 * FRAME <= len(first.samples) <= 82 * FRAME


def test_a_gap_within_a_word_is_no_pause() -> None:
    assert find_speech([0.9, 0.1, 0.1, 0.9, 0.4, 0.1, 0.1, 0.1, 0.1, 0.9], 10 * FRAME - 3) == [
        (0, 5 * FRAME),
        (9 * FRAME, 10 * FRAME - 3),
    ]


@given(
    st.lists(st.tuples(st.integers(1, 50_000), st.integers(1, 50_000)), min_size=1, max_size=8),
    st.integers(0, 20_000),
    st.data(),
)
def test_what_is_packed_is_found_where_it_was(
    runs: list[tuple[int, int]], around: int, data: st.DataObject
) -> None:
    speech, at = [], 0
    for silence, spoken in runs:
        speech.append((at + silence, at + silence + spoken))
        at += silence + spoken
    samples = np.arange(at, dtype=np.float32)
    packed = Packed(Piece(0, samples, tuple(speech)), around=around)

    begin = data.draw(st.integers(0, len(packed.samples) - 1))
    moment = begin / 16_000
    start, end = packed.to_original(moment, moment)

    assert start == end == pytest.approx(packed.samples[begin] / 16_000, abs=1.1 / 16_000)
    assert set(packed.samples) >= {each for first, end in speech for each in (first, end - 1)}


def test_a_word_that_reaches_into_the_next_stretch_ends_with_its_own() -> None:
    packed = Packed(
        Piece(0, np.zeros(160_000, np.float32), ((0, 16_000), (80_000, 96_000))), around=0
    )

    assert packed.to_original(0.2, 1.5) == (0.2, 1.0)
    assert packed.to_original(0.9, 1.8) == (5.0, 5.8)
