from __future__ import annotations

import asyncio

import pytest

from speech.engines.transcribe.errors import Throttled
from speech.engines.transcribe.pace import Starts
from tests.support.virtual_time import run_in_virtual_time

pytestmark = pytest.mark.unit


def test_streams_begin_one_after_another_however_many_wait() -> None:
    async def begin(starts: Starts) -> float:
        await starts.admit()
        return asyncio.get_running_loop().time()

    async def begin_all() -> list[float]:
        starts = Starts(20.0)
        return await asyncio.gather(*(begin(starts) for _ in range(501)))

    assert run_in_virtual_time(begin_all()) == pytest.approx([n / 20 for n in range(501)])


def test_a_start_that_would_wait_too_long_is_refused_at_once_and_takes_no_slot() -> None:
    async def check() -> float:
        starts = Starts(0.5)
        running = [asyncio.create_task(starts.admit()) for _ in range(3)]
        await asyncio.sleep(0.0)
        for _ in range(2):  # the next start is 6 s away, also for the second caller
            with pytest.raises(Throttled) as caught:
                await starts.admit(seconds=5.9)
            assert caught.value.retryable
        await starts.admit(seconds=6.0)
        assert all(start.done() for start in running)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(check()) == pytest.approx(6.0)


def test_who_gives_up_waiting_leaves_no_gap() -> None:
    async def check() -> float:
        starts = Starts(1.0)
        await starts.admit()
        waiting = [asyncio.create_task(starts.admit()) for _ in range(10)]
        await asyncio.sleep(0.5)
        for start in waiting[:-1]:  # the first of them sleeps, the others wait for it
            start.cancel()
        await waiting[-1]
        await starts.admit(seconds=1.0)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(check()) == pytest.approx(2.0)


def test_after_a_quiet_time_nobody_waits() -> None:
    async def check() -> None:
        starts = Starts(50.0)
        await starts.admit()
        await asyncio.sleep(10.0)
        await starts.admit(seconds=0.0)
        assert asyncio.get_running_loop().time() == pytest.approx(10.0)

    run_in_virtual_time(check())
