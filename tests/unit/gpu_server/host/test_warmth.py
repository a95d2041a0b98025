"""For how long the server stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gpu_server.host.warmth import Warmth
from transcripts.recordings.machines import LONGEST_WARMTH

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_an_idle_server_ends_unless_it_is_kept_warm() -> None:
    warmth = Warmth(now=lambda: NOON)

    assert warmth.may_exit(600, 500)
    assert not warmth.may_exit(400, 500)
    assert not warmth.may_exit(10**9, None)
    warmth.keep_until(NOON + HOUR)
    assert not warmth.may_exit(600, 500)


def test_nobody_shortens_what_somebody_else_has_asked_for() -> None:
    warmth = Warmth(now=lambda: NOON)

    warmth.keep_until(NOON + 2 * HOUR)

    assert warmth.keep_until(NOON + HOUR) == NOON + 2 * HOUR


def test_nobody_keeps_a_machine_for_ever() -> None:
    kept = Warmth(now=lambda: NOON).keep_until(datetime(9999, 1, 1, tzinfo=UTC))
    assert kept == NOON + LONGEST_WARMTH
