"""The short form of `make drill`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drill.__main__ import Plan, run

pytestmark = [pytest.mark.integration, pytest.mark.alone]


async def test_nothing_is_lost_while_lines_and_tasks_break(tmp_path: Path) -> None:
    plan = Plan(seconds=25, speakers=8, viewers=30, conversations=3, seed=1, with_outage=False)

    found = await run(plan, tmp_path / "aws", print)

    assert found.is_right, str(found)
    assert sum(found.faults.values()) >= 5
    assert found.clients["connections of speakers that were made again"]
