"""The function that a schedule invokes to have as many GPUs as there is work.

An event `{"keepWarm": true}` keeps one machine ready from then on, `{"keepWarm": false}` ends
that. Where there are no machines the function only reports how many jobs wait. Environment:
`JOBS_QUEUE_URL`; where there are machines `CLUSTER`, `SERVICE`, `MAXIMUM_INSTANCES`,
`JOBS_PER_INSTANCE` and `IDLE_MINUTES`, too.

RuntimeError
└── NoMachines    one is to be kept ready where there are none
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, cast

import botocore.session
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field

from lambdas.batch_worker.decide import Limits, Load, decide
from lambdas.batch_worker.machines import Machines

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

SERVICE = "batch_worker"

AtLeastOne = Annotated[int, Field(ge=1)]


class NoMachines(RuntimeError):
    """One machine is to be kept ready where there are none."""


class Settings(BaseModel):
    """The function's environment variables."""

    # An error must not quote the environment, which holds the credentials.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    jobs_queue_url: Annotated[str, Field(alias="JOBS_QUEUE_URL", pattern=r"^https?://")]
    namespace: Annotated[str, Field(alias="POWERTOOLS_METRICS_NAMESPACE")] = "Cloudscribe"


class MachineSettings(BaseModel):
    """The environment variables about machines: all of them, or none."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    cluster: Annotated[str, Field(alias="CLUSTER", min_length=1)]
    service: Annotated[str, Field(alias="SERVICE", min_length=1)]
    maximum: Annotated[AtLeastOne, Field(alias="MAXIMUM_INSTANCES")]
    jobs_per_instance: Annotated[AtLeastOne, Field(alias="JOBS_PER_INSTANCE")]
    idle_minutes: Annotated[AtLeastOne, Field(alias="IDLE_MINUTES")]

    @property
    def limits(self) -> Limits:
        """What the environment allows."""
        return Limits(
            maximum=self.maximum,
            jobs_per_instance=self.jobs_per_instance,
            idle=timedelta(minutes=self.idle_minutes),
        )


class Order(BaseModel):
    """The part of an event that matters."""

    keep_warm: Annotated[bool | None, Field(alias="keepWarm")] = None


def _client(name: str) -> Any:
    return botocore.session.get_session().create_client(
        name,
        config=Config(
            connect_timeout=2,
            read_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 3},  # 24 s at most, with pauses
        ),
    )


# All of this happens once, at the cold start; a wrong setting fails there and says so.
settings = Settings.model_validate(os.environ)
chosen = MachineSettings.model_validate(os.environ) if "SERVICE" in os.environ else None
logger = Logger(service=SERVICE)
metrics = Metrics(namespace=settings.namespace, service=SERVICE)
sqs = cast("SQSClient", _client("sqs"))
machines = (
    Machines(_client("ecs"), cluster=chosen.cluster, service=chosen.service) if chosen else None
)


@metrics.log_metrics
@logger.inject_lambda_context(log_event=False)  # explicit: no variable may turn it on
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Have as many machines as there is work.

    Raises:
        NoMachines: one is to be kept ready where there are none.
        NoService: the machines' service is not there.
        Exception: AWS refused, or cannot be reached.
    """
    order = Order.model_validate(event)
    load = _load()
    metrics.add_metric(name="JobsWaiting", unit=MetricUnit.Count, value=load.waiting)
    told = {"waiting": load.waiting, "in_flight": load.in_flight}
    if machines is None or chosen is None:
        if order.keep_warm:
            raise NoMachines("this environment has no machines to keep ready")
        logger.info("no machines in this environment", extra=told)
        return
    fleet, arn = machines.look()
    if order.keep_warm is not None:
        machines.keep_warm(arn, warm=order.keep_warm)
        fleet = replace(fleet, kept_warm=order.keep_warm)
    decision = decide(load, fleet, chosen.limits, datetime.now(UTC))
    machines.become(arn, fleet, decision)
    metrics.add_metric(name="MachinesWanted", unit=MetricUnit.Count, value=decision.desired)
    logger.info(
        "machines decided",
        extra=told
        | {
            "desired_before": fleet.desired,
            "desired": decision.desired,
            "kept_warm": fleet.kept_warm,
        },
    )


def _load() -> Load:
    attributes = sqs.get_queue_attributes(
        QueueUrl=settings.jobs_queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return Load(
        waiting=int(attributes["ApproximateNumberOfMessages"]),
        in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
    )
