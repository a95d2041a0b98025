"""The function that EventBridge invokes when something was uploaded, or is asked for.

Every recording becomes a job in the queue. An event about which nothing can be done is an
error of the invocation, and so ends, after Lambda's retries, among the undelivered events;
nothing is dropped. Environment: `JOBS_QUEUE_URL`, `RECORDINGS_BUCKET`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, cast

import botocore.session
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field

from lambdas.router.decide import RefusedEvent, decide

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

SERVICE = "router"


class Settings(BaseModel):
    """The function's environment variables."""

    # An error must not quote the environment, which holds the credentials.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    jobs_queue_url: Annotated[str, Field(alias="JOBS_QUEUE_URL", pattern=r"^https?://")]
    bucket: Annotated[str, Field(alias="RECORDINGS_BUCKET", min_length=3)]
    namespace: Annotated[str, Field(alias="POWERTOOLS_METRICS_NAMESPACE")] = "Cloudscribe"


# All of this happens once, at the cold start; a wrong setting fails there and says so.
settings = Settings.model_validate(os.environ)
logger = Logger(service=SERVICE)
metrics = Metrics(namespace=settings.namespace, service=SERVICE)
sqs = cast(
    "SQSClient",
    botocore.session.get_session().create_client(
        "sqs",
        config=Config(
            connect_timeout=2,
            read_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    ),
)


@metrics.log_metrics
@logger.inject_lambda_context(log_event=False)  # explicit: no variable may turn it on
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Put the recording that an event is about on the queue.

    Raises:
        RefusedEvent: nothing can be done about the event.
        Exception: the queue cannot be reached; the event should be tried again.
    """
    about = {"event_id": event.get("id")}
    try:
        job = decide(event, settings.bucket)
    except RefusedEvent as refusal:
        metrics.add_metric(name="EventsRefused", unit=MetricUnit.Count, value=1)
        logger.error("event refused: %s: %s", type(refusal).__name__, refusal, extra=about)  # noqa: TRY400 - our own decision, without a stack trace
        raise
    if job is None:
        metrics.add_metric(name="FoldersIgnored", unit=MetricUnit.Count, value=1)
        logger.info("folder ignored", extra=about)
        return
    try:
        sent = sqs.send_message(
            QueueUrl=settings.jobs_queue_url, MessageBody=job.model_dump_json(by_alias=True)
        )
    except Exception:
        metrics.add_metric(name="EventsFailed", unit=MetricUnit.Count, value=1)
        raise
    metrics.add_metric(name="RecordingsQueued", unit=MetricUnit.Count, value=1)
    logger.info("recording queued", extra=about | {"message_id": sent["MessageId"]})
