"""The function that EventBridge invokes when something has happened to a session.

An event (`events`) only names a session; what is written depends on the bucket alone
(`combine`). An event that no retry can help goes to the undelivered events at once and is
not an error of the invocation. Environment: `RECORDINGS_BUCKET`, `UNDELIVERED_QUEUE_URL`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Field

from lambdas import environment
from lambdas.environment import QueueUrl, connect
from lambdas.events import RefusedEvent, event_id
from lambdas.session_combiner.combine import READERS, Combiner, Effect, SessionTooLarge
from lambdas.session_combiner.events import SessionEvent, Subject, parse_event
from lambdas.undelivered import Undelivered
from transcripts.documents import SessionMetadata
from transcripts.functions import EVENTS_REFUSED, SESSION_COMBINER, SESSIONS_WRITTEN
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore, UnreadableDocument

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_METRICS = {
    Effect.WAITING: "SessionsWaiting",
    Effect.WRITTEN: SESSIONS_WRITTEN,
    Effect.UPDATED: "SessionsUpdated",
    Effect.UNCHANGED: "SessionsUnchanged",
}


class Settings(environment.Settings):
    """The function's environment variables."""

    bucket: Annotated[str, Field(alias="RECORDINGS_BUCKET", min_length=3)]
    undelivered_queue_url: Annotated[QueueUrl, Field(alias="UNDELIVERED_QUEUE_URL")]


# All of this happens once, at the cold start; a wrong setting fails there and says so.
settings = Settings.model_validate(os.environ)
logger = Logger(service=SESSION_COMBINER)
metrics = Metrics(namespace=settings.namespace, service=SESSION_COMBINER)
sqs = cast("SQSClient", connect("sqs", connect_seconds=2, read_seconds=5, attempts=4))
undelivered = Undelivered(sqs, settings.undelivered_queue_url)
s3 = cast(
    "S3Client",
    # A session's transcript may be large.
    connect("s3", connect_seconds=2, read_seconds=20, attempts=4, connections=READERS),
)
store = DocumentStore(Objects(settings.bucket, s3))
combiner = Combiner(store, now=lambda: datetime.now(UTC), log=logger)


@metrics.log_metrics
@logger.inject_lambda_context(log_event=False)  # explicit: no variable may turn it on
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Combine the session that an event is about, if its chunks are complete.

    Raises:
        Exception: the session could not be combined; the event should be tried again.
    """
    about: dict[str, Any] = {"event_id": event_id(event)}
    try:
        happened = parse_event(event, settings.bucket)
    except RefusedEvent as refusal:
        _refuse(event, refusal, context, about)
        return
    if happened is None:
        metrics.add_metric(name="EventsPassedOver", unit=MetricUnit.Count, value=1)
        logger.info("object ignored: not a part of a session", extra=about)
        return
    about |= {"user_id": happened.session.user_id, "session_id": happened.session.session_id}
    logger.append_keys(**about)
    try:
        _combine(happened, context)
    except (UnreadableDocument, SessionTooLarge) as refusal:
        _refuse(event, refusal, context, about)
    except Exception:
        metrics.add_metric(name="EventsFailed", unit=MetricUnit.Count, value=1)
        raise
    finally:
        logger.remove_keys(list(about))


def _refuse(
    event: dict[str, Any], refusal: Exception, context: LambdaContext, about: dict[str, Any]
) -> None:
    metrics.add_metric(name=EVENTS_REFUSED, unit=MetricUnit.Count, value=1)
    logger.warning("event refused: %s", refusal, extra=about)
    undelivered.keep(event, refusal, context)


def _combine(happened: SessionEvent, context: LambdaContext) -> None:
    if happened.subject is Subject.METADATA:
        store.get(happened.session.metadata_key, SessionMetadata)  # who wrote them has to know
    if happened.end:
        combiner.end(happened.session, happened.end)
    result = combiner.combine(
        happened.session, lambda: context.get_remaining_time_in_millis() / 1000
    )
    metrics.add_metric(name=_METRICS[result.effect], unit=MetricUnit.Count, value=1)
    logger.info(
        "session %s",
        result.effect,
        extra={
            "news": happened.subject.value,
            "chunk": happened.chunk,
            "outstanding": result.outstanding,
            "chunks": result.chunks,
            "gaps": result.gaps,
        },
    )
