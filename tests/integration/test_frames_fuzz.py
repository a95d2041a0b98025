"""Right, wrong and random frames, a few of those that `python -m tests.fuzz.frames` sends."""

from __future__ import annotations

import pytest

from tests.fuzz.frames import run
from tests.support.service import ANY_NUMBER, running_service

pytestmark = pytest.mark.integration


async def test_whatever_is_sent_ends_in_a_documented_way() -> None:
    async with running_service(**ANY_NUMBER) as service:
        ends = await run(service, count=6_000, seed=0)

    # What is broken in each way is among them.
    assert {"1000", "1002", "1007", "1009", "4409", "4415", "4422"} <= set(ends)
