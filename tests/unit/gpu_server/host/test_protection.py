"""When ECS is asked to spare a task."""

from __future__ import annotations

import pytest

from gpu_server.host.protection import AGAIN, BLOCKED, LINGER, MINUTES, RENEW, Protection

pytestmark = pytest.mark.unit

BLOCKING = "DEPLOYMENT_BLOCKED"


@pytest.fixture
def protected() -> Protection:
    """Of a task that works, from 0 on."""
    protection = Protection()
    assert protection.decide(0, 0) is True
    protection.record_answer(wanted=True, refusal=None, now=0)
    return protection


def test_a_task_without_work_asks_for_nothing() -> None:
    assert Protection().decide(1000, 0) is None


def test_work_that_lasts_renews_its_protection_before_it_ends(protected: Protection) -> None:
    assert protected.decide(0, RENEW - 1) is None
    assert protected.decide(0, RENEW) is True
    assert 2 * RENEW < MINUTES * 60


def test_the_next_job_is_often_near(protected: Protection) -> None:
    assert protected.decide(LINGER - 1, 100) is None
    assert protected.decide(LINGER, 100) is False


@pytest.mark.parametrize("idle", [0, LINGER])
def test_what_failed_is_tried_again(protected: Protection, idle: float) -> None:
    wanted = protected.decide(idle, RENEW)
    assert wanted is not None
    protected.record_answer(wanted=wanted, refusal="ThrottlingException", now=RENEW)

    assert protected.decide(idle, RENEW + AGAIN - 1) is None
    assert protected.decide(idle, RENEW + AGAIN) is wanted


def test_ecs_gets_the_time_to_end_a_task_that_it_does_not_spare_any_more(
    protected: Protection,
) -> None:
    protected.record_answer(wanted=True, refusal=BLOCKING, now=RENEW)

    lapses = MINUTES * 60
    assert protected.decide(0, lapses + 300) is None
    assert protected.decide(0, RENEW + BLOCKED) is True


def test_work_that_ends_meanwhile_ends_the_protection_at_once(protected: Protection) -> None:
    protected.record_answer(wanted=True, refusal=BLOCKING, now=RENEW)

    assert protected.decide(LINGER, RENEW + 1) is False
