"""How long a slow peer is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.minimum_rate import MinimumRate, Outflow, TooSlow, enforce_rate

pytestmark = pytest.mark.unit

steps = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 10**6)), max_size=100)


@given(steps=steps, rate=st.integers(1, 10**6), patience=st.integers(1, 60))
def test_n_bytes_are_waited_for_the_patience_and_what_they_take_at_the_rate(
    steps: list[tuple[float, int]], rate: int, patience: int
) -> None:
    pace = MinimumRate(rate, patience)
    waited, size = 0.0, 0
    for seconds, piece in steps:
        wait = min(seconds, pace.left)  # then it ends
        waited, size = waited + wait, size + piece
        pace.record(wait, piece)
        if pace.left <= 0:
            break

    assert waited <= (patience + size / rate) * (1 + 1e-9)
    assert pace.left <= patience


@given(
    gaps=st.lists(st.floats(0.001, 9.9), min_size=1, max_size=100),
    rate=st.integers(1, 10**6),
    faster=st.floats(1.0, 50.0),
)
def test_who_keeps_up_is_never_given_up(gaps: list[float], rate: int, faster: float) -> None:
    pace = MinimumRate(rate, 10)
    for gap in gaps:
        pace.record(gap, int(gap * rate * faster) + 1)
        assert pace.left > 0


def test_who_was_fast_may_pause_for_the_whole_patience_and_no_longer() -> None:
    pace = MinimumRate(1000, 30)
    pace.record(60, 10**9)
    pace.record(29.9, 0)
    assert pace.left > 0
    pace.record(0.2, 0)
    assert pace.left <= 0


async def test_what_is_done_in_between_is_not_the_peers_fault() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"

    async for _ in enforce_rate(pieces(), MinimumRate(rate=10**9, patience=0.05)):
        await asyncio.sleep(0.06)


async def test_who_brings_too_little_is_given_up() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b"x"

    with pytest.raises(TooSlow):
        async for _ in enforce_rate(pieces(), MinimumRate(rate=1000, patience=0.1)):
            pass


def test_a_peer_that_reads_nothing_is_cut_off_and_a_slow_reader_is_kept() -> None:
    silent, slow = Outflow(MinimumRate(10, 5)), Outflow(MinimumRate(10, 5))

    assert all(silent.check(1, 1000) for _ in range(5))
    assert not silent.check(1, 1000)
    assert all(slow.check(1, 10_000 - 11 * second) for second in range(900))


def test_time_in_which_nothing_is_to_be_read_counts_for_nothing() -> None:
    outflow = Outflow(MinimumRate(10, 5))
    assert all(outflow.check(3, 0) for _ in range(5))
    assert outflow.check(3, 1000)
    assert outflow.check(3, 1000)
