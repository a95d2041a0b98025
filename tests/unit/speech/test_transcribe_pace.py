from __future__ import annotations

import asyncio

import pytest

from speech.engines.transcribe.errors import Throttled
from speech.engines.transcribe.pace import Starts

pytestmark = pytest.mark.unit


async def test_streams_begin_one_after_another() -> None:
    starts = Starts(100.0)
    loop = asyncio.get_running_loop()
    began: list[float] = []

    async def begin() -> None:
        await starts.turn(1.0)
        began.append(loop.time())

    before = loop.time()
    await asyncio.gather(*(begin() for _ in range(11)))

    assert began[0] - before < began[-1] - before
    assert began[-1] - before >= 0.1
    assert began == sorted(began)


async def test_who_would_wait_too_long_is_told_at_once_and_takes_no_turn() -> None:
    starts = Starts(0.5)
    await starts.turn(0.0)
    with pytest.raises(Throttled) as caught:
        await starts.turn(1.0)

    assert caught.value.retryable
    with pytest.raises(Throttled):  # still the second turn, 2 s away, and not the third
        await starts.turn(1.9)


async def test_after_a_quiet_time_nobody_waits() -> None:
    starts = Starts(50.0)
    await starts.turn(0.0)
    await asyncio.sleep(0.03)

    await starts.turn(0.0)
