from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from pydantic import ValidationError

from lambdas.batch_worker.decide import Decision, Fleet, Limits, Load, decide
from lambdas.batch_worker.machines import KEPT_WARM, SURPLUS_SINCE, NoService

pytestmark = pytest.mark.unit

HANDLER = "lambdas.batch_worker.handler"
NOW = datetime(2026, 11, 20, 17, 29, tzinfo=UTC)
LIMITS = Limits(maximum=3, jobs_per_instance=10, idle=timedelta(minutes=10))
NO_WORK = Load(waiting=0, in_flight=0)
MACHINES = {
    "CLUSTER": "cluster",
    "SERVICE": "gpu",
    "MAXIMUM_INSTANCES": "3",
    "JOBS_PER_INSTANCE": "10",
    "IDLE_MINUTES": "10",
}
CONTEXT = SimpleNamespace(
    function_name="batch_worker",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-central-1:000000000000:function:batch_worker:live",
    aws_request_id="request",
)

loads = st.builds(Load, waiting=st.integers(0, 200), in_flight=st.integers(0, 20))
fleets = st.builds(
    Fleet,
    desired=st.integers(0, 6),
    kept_warm=st.booleans(),
    surplus_since=st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)).map(NOW.__sub__),
)


# --- the decision ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waiting", "desired"), [(0, 0), (1, 1), (10, 1), (11, 2), (30, 3), (1000, 3)]
)
def test_machines_are_started_for_the_work_that_waits_up_to_the_limit(
    waiting: int, desired: int
) -> None:
    load = Load(waiting=waiting, in_flight=0)

    assert decide(load, Fleet(desired=0), LIMITS, NOW).desired == desired


def test_a_machine_is_stopped_when_it_was_idle_for_long_enough_and_not_before() -> None:
    idle = decide(NO_WORK, Fleet(desired=1), LIMITS, NOW)
    assert idle == Decision(desired=1, surplus_since=NOW)

    fleet = Fleet(desired=idle.desired, surplus_since=idle.surplus_since)
    before = decide(NO_WORK, fleet, LIMITS, NOW + timedelta(minutes=9))
    assert before == idle

    after = decide(NO_WORK, fleet, LIMITS, NOW + timedelta(minutes=10))
    assert after == Decision(desired=0, surplus_since=None)


def test_work_that_comes_meanwhile_begins_the_waiting_anew() -> None:
    fleet = Fleet(desired=1, surplus_since=NOW - timedelta(minutes=9))

    assert decide(Load(waiting=1, in_flight=0), fleet, LIMITS, NOW) == Decision(
        desired=1, surplus_since=None
    )


def test_machines_with_a_job_in_hand_are_not_too_many() -> None:
    fleet = Fleet(desired=3, surplus_since=NOW - timedelta(hours=1))

    assert decide(Load(waiting=0, in_flight=2), fleet, LIMITS, NOW).desired == 2


def test_one_machine_is_kept_ready_without_work() -> None:
    assert decide(NO_WORK, Fleet(desired=0, kept_warm=True), LIMITS, NOW).desired == 1
    late = Fleet(desired=1, kept_warm=True, surplus_since=NOW - timedelta(hours=9))
    assert decide(NO_WORK, late, LIMITS, NOW) == Decision(desired=1, surplus_since=None)


def test_more_machines_than_are_allowed_are_stopped_at_once() -> None:
    assert decide(Load(waiting=99, in_flight=9), Fleet(desired=7), LIMITS, NOW).desired == 3


@given(loads, fleets)
def test_there_are_never_more_than_allowed_nor_none_while_work_waits(
    load: Load, fleet: Fleet
) -> None:
    decision = decide(load, fleet, LIMITS, NOW)

    assert 0 <= decision.desired <= LIMITS.maximum
    assert decision.desired > 0 or (load == NO_WORK and not fleet.kept_warm)


@given(loads, fleets)
def test_whoever_looks_often_enough_stops_every_machine_that_has_no_work(
    load: Load, fleet: Fleet
) -> None:
    decision = decide(load, replace(fleet, kept_warm=False), LIMITS, NOW)
    for minutes in range(0, 31, 5):
        fleet = Fleet(desired=decision.desired, surplus_since=decision.surplus_since)
        decision = decide(NO_WORK, fleet, LIMITS, NOW + timedelta(minutes=minutes))

    assert decision == Decision(desired=0, surplus_since=None)


# --- the function --------------------------------------------------------------------------------


class Service:
    """ECS with one service, as far as the function uses it."""

    arn = "arn:aws:ecs:eu-central-1:123456789012:service/cluster/gpu"

    def __init__(self, desired: int, **tags: str) -> None:
        self.desired = desired
        self.tags = tags
        self.status = "ACTIVE"

    def describe_services(self, **_: Any) -> dict[str, Any]:
        tags = [{"key": key, "value": value} for key, value in self.tags.items()]
        service = {
            "serviceArn": self.arn,
            "status": self.status,
            "desiredCount": self.desired,
            "tags": tags,
        }
        return {"services": [service], "failures": []}

    def update_service(self, *, desiredCount: int, **_: Any) -> None:  # noqa: N803 - AWS's name
        self.desired = desiredCount

    def tag_resource(self, *, resourceArn: str, tags: list[dict[str, str]]) -> None:  # noqa: N803 - AWS's name
        assert resourceArn == self.arn
        self.tags |= {tag["key"]: tag["value"] for tag in tags}

    def untag_resource(self, *, resourceArn: str, tagKeys: list[str]) -> None:  # noqa: N803 - AWS's name
        assert resourceArn == self.arn
        for key in tagKeys:
            self.tags.pop(key, None)


@contextmanager
def cold_start(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[ModuleType]:
    """The module after a cold start, its queue in moto."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("JOBS_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/jobs")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in MACHINES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, HANDLER, raising=False)
    with mock_aws():
        module = importlib.import_module(HANDLER)
        module.sqs.create_queue(QueueName="jobs")
        yield module


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The function where there are machines."""
    with cold_start(monkeypatch, **MACHINES) as module:
        yield module


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The function where there are none."""
    with cold_start(monkeypatch) as module:
        yield module


def service(handler: ModuleType, desired: int = 0, **tags: str) -> Service:
    made = Service(desired, **tags)
    handler.machines._client = made
    return made


def put_jobs(handler: ModuleType, number: int) -> None:
    for _ in range(number):
        handler.sqs.send_message(QueueUrl=handler.settings.jobs_queue_url, MessageBody="{}")


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = next(json.loads(line) for line in lines if "_aws" in line)
    return found


def test_waiting_jobs_start_machines(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = service(handler)
    put_jobs(handler, 11)

    handler.handler({"source": "aws.events"}, CONTEXT)

    assert gpu.desired == 2
    metrics = told(capsys)
    assert (metrics["JobsWaiting"], metrics["MachinesWanted"]) == ([11.0], [2.0])


def test_idle_machines_are_remembered_and_then_stopped(handler: ModuleType) -> None:
    gpu = service(handler, desired=1)

    handler.handler({}, CONTEXT)
    assert gpu.desired == 1
    assert SURPLUS_SINCE in gpu.tags

    gpu.tags[SURPLUS_SINCE] = (datetime.now(UTC) - timedelta(minutes=11)).isoformat()
    handler.handler({}, CONTEXT)
    assert gpu.desired == 0
    assert SURPLUS_SINCE not in gpu.tags


def test_a_machine_is_kept_ready_from_one_order_to_the_other(handler: ModuleType) -> None:
    gpu = service(handler)

    handler.handler({"keepWarm": True}, CONTEXT)
    handler.handler({}, CONTEXT)
    assert gpu.desired == 1
    assert gpu.tags.keys() == {KEPT_WARM}

    handler.handler({"keepWarm": False}, CONTEXT)
    assert gpu.tags.keys() == {SURPLUS_SINCE}


def test_a_broken_tag_only_begins_the_waiting_anew(handler: ModuleType) -> None:
    gpu = service(handler, desired=1, **{SURPLUS_SINCE: "yesterday"})

    handler.handler({}, CONTEXT)

    assert gpu.desired == 1
    assert datetime.fromisoformat(gpu.tags[SURPLUS_SINCE]).tzinfo == UTC


def test_a_service_that_is_gone_is_an_error(handler: ModuleType) -> None:
    service(handler).status = "INACTIVE"

    with pytest.raises(NoService):
        handler.handler({}, CONTEXT)


def test_without_machines_waiting_jobs_are_reported(
    bare: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    put_jobs(bare, 2)

    bare.handler({}, CONTEXT)

    metrics = told(capsys)
    assert metrics["JobsWaiting"] == [2.0]
    assert "MachinesWanted" not in metrics


def test_without_machines_none_can_be_kept_ready(bare: ModuleType) -> None:
    with pytest.raises(bare.NoMachines):
        bare.handler({"keepWarm": True}, CONTEXT)


def test_half_a_setting_of_machines_fails_at_the_cold_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        pytest.raises(ValidationError, match="CLUSTER"),
        cold_start(monkeypatch, SERVICE="gpu"),
    ):
        pass
