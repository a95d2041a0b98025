"""The function that matches the number of machines with a GPU to the work.

A schedule invokes it every minute, and the router's wakes (`infra.recordings.wake`) do so as soon
as a recording is queued. A wake counts as one waiting job, because the queue's own counts may lack
a message for its first minute.

It accepts orders, too:

| event                                            | one machine is kept ready              |
|--------------------------------------------------|----------------------------------------|
| `{"keepWarm": true}`                             | until `{"keepWarm": false}` comes      |
| `{"keepWarm": true, "until": "2026-11-20T18:00:00Z"}` | until then, whatever else is ordered |

A schedule sends the first kind, people send the second; a moment in the past ends it. With
`{"workOff": true}` a schedule, or people, have all waiting jobs done where machines are started for
jobs at set times only. An environment without machines has nothing to do.

Environment: `JOBS_QUEUE_URL`; where there are machines `CLUSTER`, `SERVICE`, `MAXIMUM_INSTANCES`,
`JOBS_PER_INSTANCE` and `IDLE_MINUTES`, too, and optional `JOBS_TO_START`, `LONGEST_WAIT_MINUTES`
and `AT_SET_TIMES`.

ValueError
└── UnknownOrder    an event is none of the above
RuntimeError
└── NoMachines      an order to keep a machine ready, in an environment without machines
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from foundation.invalid import summarise
from lambdas import environment
from lambdas.batch_worker.decide import Fleet, FleetLimits, QueueLoad, decide
from lambdas.batch_worker.machines import Machines
from lambdas.environment import QueueUrl, connect
from lambdas.events import Shape
from transcripts.functions import (
    BATCH_WORKER,
    MACHINES_WANTED,
    RECORDINGS_TRANSCRIBED,
    ROUTER,
)
from transcripts.models import Moment
from transcripts.recordings.machines import LONGEST_WARMTH

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

AtLeastOne = Annotated[int, Field(ge=1)]


class UnknownOrder(ValueError):
    """An event is not an order that the function knows. The message quotes no values of it."""


class NoMachines(RuntimeError):
    """An order asks to keep a machine ready in an environment without machines."""


class Settings(environment.Settings):
    """The function's environment variables."""

    jobs_queue_url: Annotated[QueueUrl, Field(alias="JOBS_QUEUE_URL")]


class MachineSettings(BaseModel):
    """The environment variables about machines. An environment without machines sets none."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    cluster: Annotated[str, Field(alias="CLUSTER", min_length=1)]
    service: Annotated[str, Field(alias="SERVICE", min_length=1)]
    maximum: Annotated[AtLeastOne, Field(alias="MAXIMUM_INSTANCES")]
    jobs_per_instance: Annotated[AtLeastOne, Field(alias="JOBS_PER_INSTANCE")]
    idle_minutes: Annotated[AtLeastOne, Field(alias="IDLE_MINUTES")]
    jobs_to_start: Annotated[AtLeastOne, Field(alias="JOBS_TO_START")] = 1
    longest_wait_minutes: Annotated[int, Field(ge=0, alias="LONGEST_WAIT_MINUTES")] = 0
    at_set_times: Annotated[bool, Field(alias="AT_SET_TIMES")] = False

    @property
    def limits(self) -> FleetLimits:
        """The limits and delays for `decide`."""
        return FleetLimits(
            maximum=self.maximum,
            jobs_per_instance=self.jobs_per_instance,
            idle=timedelta(minutes=self.idle_minutes),
            jobs_to_start=self.jobs_to_start,
            longest_wait=timedelta(minutes=self.longest_wait_minutes),
            at_set_times=self.at_set_times,
        )


class Record(Shape):
    """A message of the queue of wakes."""

    source: Annotated[Literal["aws:sqs"], Field(alias="eventSource")]


class MachineOrder(Shape):
    """The fields of an event that the function reads."""

    keep_warm: Annotated[bool | None, Field(alias="keepWarm")] = None
    until: Moment | None = None
    work_off: Annotated[bool, Field(alias="workOff")] = False
    wakes: Annotated[tuple[Record, ...], Field(alias="Records")] = ()


def _client(name: str) -> Any:
    return connect(name, connect_seconds=2, read_seconds=5, attempts=3)  # 24 s, with pauses


# All of this happens once, at the cold start; a wrong setting fails there and says so.
settings = Settings.model_validate(os.environ)
chosen = MachineSettings.model_validate(os.environ) if "SERVICE" in os.environ else None
logger = Logger(service=BATCH_WORKER)
metrics = Metrics(namespace=settings.namespace, service=BATCH_WORKER)
sqs = cast("SQSClient", _client("sqs"))
cloudwatch = _client("cloudwatch")
machines = (
    Machines(_client("ecs"), cluster=chosen.cluster, service=chosen.service) if chosen else None
)


@logger.inject_lambda_context(log_event=False)  # explicit: no variable may turn it on
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Start or stop machines, so that their number matches the work.

    Raises:
        UnknownOrder: the event is not an order that the function knows.
        NoMachines: the event asks to keep a machine ready, and the environment has none.
        NoService: the machines' ECS service does not exist.
        Exception: AWS refused, or cannot be reached.
    """
    now = datetime.now(UTC)
    order = _order(event, now)
    if machines is None or chosen is None:
        if order.keep_warm:
            raise NoMachines("this environment has no machines to keep ready")
        logger.info("no machines in this environment")
        return
    load = _load()
    if order.wakes:
        load = replace(load, waiting=max(load.waiting, 1))
    fleet, arn = machines.read()
    fleet = _carry_out(order, machines, fleet, arn, now)
    if fleet.desired and not load.waiting and not load.in_flight:
        load = replace(load, served=_served(now - chosen.limits.idle, now))
    decision = decide(load, fleet, chosen.limits, now, work_off=order.work_off)
    machines.apply(arn, fleet, decision)
    metrics.add_metric(name=MACHINES_WANTED, unit=MetricUnit.Count, value=decision.desired)
    metrics.flush_metrics()  # here and not by a decorator, which warns where there is nothing
    logger.info(
        "machines decided",
        extra={
            "waiting": load.waiting,
            "in_flight": load.in_flight,
            "served": load.served,
            "desired_before": fleet.desired,
            "desired": decision.desired,
            "kept_warm": fleet.is_warm(now),
            "working_off": decision.working_off,
        },
    )


def _order(event: dict[str, Any], now: datetime) -> MachineOrder:
    """Parse an event; those of the schedule contain no order."""
    try:
        order = MachineOrder.model_validate(event)
    except ValidationError as error:
        raise UnknownOrder(f"not understood: {summarise(error, whole='event')}") from None
    if order.until is not None:
        if not order.keep_warm:
            raise UnknownOrder("until says how long to keep a machine ready: keepWarm is missing")
        if order.until > now + LONGEST_WARMTH:
            raise UnknownOrder("until is more than a day ahead")
    return order


def _carry_out(
    order: MachineOrder, machines: Machines, fleet: Fleet, arn: str, now: datetime
) -> Fleet:
    """Store an order, delete one that has expired, and return the machines as they are then."""
    if order.until is None and order.keep_warm is not None:
        machines.keep_warm(arn, warm=order.keep_warm)
        fleet = replace(fleet, kept_warm=order.keep_warm)
    until = order.until or fleet.warm_until
    if until is not None and until <= now:
        until = None
    if until != fleet.warm_until:
        machines.keep_warm_until(arn, until)
        fleet = replace(fleet, warm_until=until)
    return fleet


def _load() -> QueueLoad:
    attributes = sqs.get_queue_attributes(
        QueueUrl=settings.jobs_queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return QueueLoad(
        waiting=int(attributes["ApproximateNumberOfMessages"]),
        in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
    )


def _served(begin: datetime, end: datetime) -> int:
    """Return how many recordings the router gave to a server; it counts them in a metric."""
    points = cloudwatch.get_metric_statistics(
        Namespace=settings.namespace,
        MetricName=RECORDINGS_TRANSCRIBED,
        Dimensions=[{"Name": "service", "Value": ROUTER}],
        StartTime=begin,
        EndTime=end,
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(int(point["Sum"]) for point in points)
