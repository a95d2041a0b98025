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

from lambdas.batch_worker.decide import Decision, Fleet, FleetLimits, QueueLoad, decide
from lambdas.batch_worker.machines import (
    KEPT_WARM,
    SURPLUS_SINCE,
    WAITING_SINCE,
    WARM_UNTIL,
    WORKING_OFF,
    NoService,
)

pytestmark = pytest.mark.unit

HANDLER = "lambdas.batch_worker.handler"
NOW = datetime(2026, 11, 20, 17, 29, tzinfo=UTC)
LIMITS = FleetLimits(maximum=3, jobs_per_instance=10, idle=timedelta(minutes=10))
NO_WORK = QueueLoad(waiting=0, in_flight=0)
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

loads = st.builds(
    QueueLoad, waiting=st.integers(0, 200), in_flight=st.integers(0, 20), served=st.integers(0, 2)
)
moments = st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)).map(NOW.__sub__)
fleets = st.builds(
    Fleet,
    desired=st.integers(0, 6),
    kept_warm=st.booleans(),
    warm_until=st.none() | st.timedeltas(-timedelta(hours=1), timedelta(hours=1)).map(NOW.__add__),
    surplus_since=moments,
    waiting_since=moments,
)


# --- the decision ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waiting", "desired"), [(0, 0), (1, 1), (10, 1), (11, 2), (30, 3), (1000, 3)]
)
def test_machines_are_started_for_the_work_that_waits_up_to_the_limit(
    waiting: int, desired: int
) -> None:
    load = QueueLoad(waiting=waiting, in_flight=0)

    assert decide(load, Fleet(desired=0), LIMITS, NOW).desired == desired


def test_a_machine_is_stopped_after_its_idle_period_and_not_before() -> None:
    idle = decide(NO_WORK, Fleet(desired=1), LIMITS, NOW)
    assert idle == Decision(desired=1, surplus_since=NOW)

    fleet = Fleet(desired=idle.desired, surplus_since=idle.surplus_since)
    before = decide(NO_WORK, fleet, LIMITS, NOW + timedelta(minutes=9))
    assert before == idle

    after = decide(NO_WORK, fleet, LIMITS, NOW + timedelta(minutes=10))
    assert after == Decision(desired=0, surplus_since=None)


def test_work_that_comes_meanwhile_begins_the_waiting_anew() -> None:
    fleet = Fleet(desired=1, surplus_since=NOW - timedelta(minutes=9))

    assert decide(QueueLoad(waiting=1, in_flight=0), fleet, LIMITS, NOW) == Decision(
        desired=1, surplus_since=None
    )


def test_machines_with_a_job_in_hand_are_not_too_many() -> None:
    fleet = Fleet(desired=3, surplus_since=NOW - timedelta(hours=1))

    assert decide(QueueLoad(waiting=0, in_flight=2), fleet, LIMITS, NOW).desired == 2


def test_one_machine_is_kept_ready_without_work() -> None:
    assert decide(NO_WORK, Fleet(desired=0, kept_warm=True), LIMITS, NOW).desired == 1
    late = Fleet(desired=1, kept_warm=True, surplus_since=NOW - timedelta(hours=9))
    assert decide(NO_WORK, late, LIMITS, NOW) == Decision(desired=1, surplus_since=None)


def test_one_machine_is_kept_ready_until_a_moment_and_not_beyond() -> None:
    fleet = Fleet(desired=0, warm_until=NOW)

    assert decide(NO_WORK, fleet, LIMITS, NOW - timedelta(seconds=1)).desired == 1
    assert decide(NO_WORK, fleet, LIMITS, NOW).desired == 0


def test_a_machine_that_is_given_recordings_beside_the_queue_has_work() -> None:
    fleet = Fleet(desired=2, surplus_since=NOW - timedelta(hours=1))

    assert decide(replace(NO_WORK, served=9), fleet, LIMITS, NOW).desired == 1
    assert decide(replace(NO_WORK, served=9), Fleet(desired=0), LIMITS, NOW).desired == 0


PATIENT = replace(LIMITS, jobs_to_start=5, longest_wait=timedelta(minutes=30))


def test_the_first_machine_is_started_for_several_jobs_or_for_one_that_waits_long() -> None:
    few = QueueLoad(waiting=4, in_flight=0)

    first = decide(few, Fleet(desired=0), PATIENT, NOW)
    assert first == Decision(desired=0, waiting_since=NOW)
    fleet = Fleet(desired=0, waiting_since=NOW)

    assert decide(few, fleet, PATIENT, NOW + timedelta(minutes=29)) == first
    assert decide(few, fleet, PATIENT, NOW + timedelta(minutes=30)) == Decision(desired=1)
    assert decide(replace(few, waiting=5), fleet, PATIENT, NOW) == Decision(desired=1)
    assert decide(NO_WORK, fleet, PATIENT, NOW) == Decision(desired=0)


def test_a_machine_that_runs_takes_the_first_job_at_once() -> None:
    few = QueueLoad(waiting=1, in_flight=0)

    assert decide(few, Fleet(desired=1), PATIENT, NOW) == Decision(desired=1)
    assert decide(few, Fleet(desired=0, kept_warm=True), PATIENT, NOW) == Decision(desired=1)


AT_MIDNIGHT = replace(LIMITS, at_set_times=True)


def test_where_jobs_wait_for_a_set_time_only_that_starts_machines() -> None:
    many = QueueLoad(waiting=25, in_flight=0)

    assert decide(many, Fleet(desired=0), AT_MIDNIGHT, NOW) == Decision(desired=0)
    begun = decide(many, Fleet(desired=0), AT_MIDNIGHT, NOW, work_off=True)
    assert begun == Decision(desired=3, working_off=True)
    assert decide(NO_WORK, Fleet(desired=0), AT_MIDNIGHT, NOW, work_off=True).desired == 0


def test_what_waits_is_worked_off_until_the_queue_is_empty_also_after_spot_took_a_machine() -> None:
    fleet = Fleet(desired=0, working_off=True)
    few = QueueLoad(waiting=1, in_flight=0)

    assert decide(few, fleet, AT_MIDNIGHT, NOW) == Decision(desired=1, working_off=True)
    done = decide(NO_WORK, replace(fleet, desired=1), AT_MIDNIGHT, NOW)
    assert done == Decision(desired=1, surplus_since=NOW)
    later = Fleet(desired=0)
    assert decide(few, later, AT_MIDNIGHT, NOW + timedelta(hours=9)) == Decision(desired=0)


def test_between_set_times_a_machine_that_runs_does_jobs_and_gets_no_help() -> None:
    many = QueueLoad(waiting=25, in_flight=1)
    warm = Fleet(desired=0, kept_warm=True)

    assert decide(many, Fleet(desired=1), AT_MIDNIGHT, NOW) == Decision(desired=1)
    assert decide(many, warm, AT_MIDNIGHT, NOW) == Decision(desired=1)


@given(loads, fleets, st.booleans())
def test_between_set_times_jobs_never_add_a_machine(
    load: QueueLoad,
    fleet: Fleet,
    at_a_set_time: bool,  # noqa: FBT001 - hypothesis gives arguments by position
) -> None:
    decision = decide(load, fleet, AT_MIDNIGHT, NOW, work_off=at_a_set_time)

    assert at_a_set_time or decision.desired <= max(fleet.desired, int(fleet.is_warm(NOW)))
    assert decision.working_off == (at_a_set_time and load.waiting + load.in_flight > 0)


def test_more_machines_than_are_allowed_are_stopped_at_once() -> None:
    assert decide(QueueLoad(waiting=99, in_flight=9), Fleet(desired=7), LIMITS, NOW).desired == 3


@given(loads, fleets)
def test_there_are_never_more_than_allowed_nor_none_while_work_waits(
    load: QueueLoad, fleet: Fleet
) -> None:
    decision = decide(load, fleet, LIMITS, NOW)

    assert 0 <= decision.desired <= LIMITS.maximum
    assert decision.desired > 0 or not (load.waiting or load.in_flight or fleet.is_warm(NOW))


@given(loads, fleets)
def test_whatever_waits_gets_a_machine_in_the_end(load: QueueLoad, fleet: Fleet) -> None:
    decision = decide(load, fleet, PATIENT, NOW)
    later = replace(fleet, desired=decision.desired, waiting_since=decision.waiting_since)

    again = decide(load, later, PATIENT, NOW + PATIENT.longest_wait)

    assert again.desired > 0 or not (load.waiting or load.in_flight)


@given(loads, fleets)
def test_frequent_looks_stop_every_machine_that_has_no_work(load: QueueLoad, fleet: Fleet) -> None:
    decision = decide(load, replace(fleet, kept_warm=False, warm_until=None), LIMITS, NOW)
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


def printed_metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
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
    assert printed_metrics(capsys)["MachinesWanted"] == [2.0]


WAKE = {"Records": [{"messageId": "1", "body": "{}", "eventSource": "aws:sqs"}]}


def test_a_wake_counts_for_a_job_that_the_queue_does_not_count_yet(handler: ModuleType) -> None:
    gpu = service(handler)

    handler.handler(WAKE, CONTEXT)

    assert gpu.desired == 1


def test_a_thousand_wakes_start_no_more_than_the_queue_holds(handler: ModuleType) -> None:
    gpu = service(handler)
    put_jobs(handler, 3)

    for _ in range(3):
        handler.handler({"Records": WAKE["Records"] * 10}, CONTEXT)

    assert gpu.desired == 1


def test_a_wake_does_no_harm_where_there_are_no_machines(bare: ModuleType) -> None:
    bare.handler(WAKE, CONTEXT)


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


def test_a_machine_with_which_the_router_is_busy_is_not_stopped(handler: ModuleType) -> None:
    gpu = service(handler, desired=1)
    gpu.tags[SURPLUS_SINCE] = (datetime.now(UTC) - timedelta(minutes=11)).isoformat()
    handler.cloudwatch.put_metric_data(
        Namespace=handler.settings.namespace,
        MetricData=[
            {
                "MetricName": "RecordingsTranscribed",
                "Dimensions": [{"Name": "service", "Value": "router"}],
                "Timestamp": datetime.now(UTC) - timedelta(minutes=5),
                "Value": 3,
            }
        ],
    )

    handler.handler({}, CONTEXT)

    assert gpu.desired == 1
    assert SURPLUS_SINCE not in gpu.tags


def test_people_keep_a_machine_ready_until_a_moment_despite_the_schedule(
    handler: ModuleType,
) -> None:
    gpu = service(handler)
    until = datetime.now(UTC) + timedelta(hours=2)

    handler.handler({"keepWarm": True, "until": until.isoformat()}, CONTEXT)
    handler.handler({"keepWarm": False}, CONTEXT)
    assert gpu.desired == 1
    assert gpu.tags == {WARM_UNTIL: until.isoformat()}

    gpu.tags[WARM_UNTIL] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    handler.handler({}, CONTEXT)
    assert gpu.tags.keys() == {SURPLUS_SINCE}


def test_a_moment_that_has_passed_ends_it(handler: ModuleType) -> None:
    until = datetime.now(UTC) + timedelta(hours=2)
    gpu = service(handler, desired=1, **{WARM_UNTIL: until.isoformat()})

    handler.handler({"keepWarm": True, "until": "2026-11-20T18:00:00Z"}, CONTEXT)

    assert gpu.tags.keys() == {SURPLUS_SINCE}


@pytest.mark.parametrize(
    "order",
    [
        {"keepWarm": True, "until": "this evening"},
        {"keepWarm": True, "until": "2026-11-20T18:00:00"},
        {"keepWarm": True, "until": "2126-11-20T18:00:00Z"},
        {"keepWarm": False, "until": "2026-11-20T18:00:00Z"},
        {"until": "2026-11-20T18:00:00Z"},
        {"keepWarm": "perhaps"},
        {"Records": [{"eventSource": "aws:s3"}]},
        {"Records": "all"},
    ],
)
def test_an_unknown_order_is_refused_and_changes_nothing(
    handler: ModuleType, order: dict[str, Any]
) -> None:
    gpu = service(handler)

    with pytest.raises(handler.UnknownOrder):
        handler.handler(order, CONTEXT)

    assert (gpu.desired, gpu.tags) == (0, {})


def test_jobs_that_wait_together_are_remembered_until_one_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patient = {"JOBS_TO_START": "5", "LONGEST_WAIT_MINUTES": "30"}
    with cold_start(monkeypatch, **MACHINES, **patient) as handler:
        gpu = service(handler)
        put_jobs(handler, 1)

        handler.handler({}, CONTEXT)
        assert gpu.desired == 0
        assert gpu.tags.keys() == {WAITING_SINCE}

        put_jobs(handler, 4)
        handler.handler({}, CONTEXT)
        assert gpu.desired == 1
        assert gpu.tags == {}


def test_a_set_time_is_remembered_until_the_queue_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with cold_start(monkeypatch, **MACHINES, AT_SET_TIMES="true") as handler:
        gpu = service(handler)
        put_jobs(handler, 11)

        handler.handler(WAKE, CONTEXT)
        assert (gpu.desired, gpu.tags) == (0, {})

        handler.handler({"workOff": True}, CONTEXT)
        assert gpu.desired == 2
        assert gpu.tags.keys() == {WORKING_OFF}

        handler.sqs.purge_queue(QueueUrl=handler.settings.jobs_queue_url)
        handler.handler({}, CONTEXT)
        assert gpu.tags.keys() == {SURPLUS_SINCE}


def test_without_machines_there_is_nothing_to_do(bare: ModuleType) -> None:
    put_jobs(bare, 2)

    bare.handler({}, CONTEXT)


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
