"""The function that the queue of utterances invokes, with up to ten messages at a time.

A message that fails is reported alone (`ReportBatchItemFailures`), so its neighbours are not
sent again; the queue moves it to the dead-letter queue after some attempts. Messages that might not
be stored in time are left to another invocation: an invocation that is cut off reports nothing, and
then its whole batch counts as failed. Environment: `TABLE_NAME` and, optional,
`RETENTION_DAYS` and `POWERTOOLS_METRICS_NAMESPACE`.

RuntimeError
└── NoTimeLeft    a message might not be stored before the invocation has to end
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Field

from lambdas import environment
from lambdas.environment import connect
from lambdas.transcript_processor.process import PoisonMessage, PutResult, process
from transcripts.conversations import DEFAULT_RETENTION, ConversationTable
from transcripts.functions import (
    FAILED_MESSAGES,
    POISON_MESSAGES,
    TRANSCRIPT_PROCESSOR,
    UTTERANCES_STORED,
)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from mypy_boto3_dynamodb import DynamoDBClient

#: What the table takes for an utterance at the very worst, with the settings of the client below:
#: two attempts, and a pause of a second between them.
SLOWEST_PUT_MS = 5_000

_METRICS = {PutResult.STORED: UTTERANCES_STORED, PutResult.DUPLICATE: "UtterancesDuplicate"}


class NoTimeLeft(RuntimeError):
    """A message might not be stored before the invocation has to end."""


class Settings(environment.Settings):
    """The function's environment variables."""

    table_name: Annotated[str, Field(alias="TABLE_NAME", min_length=3)]
    retention_days: Annotated[int, Field(alias="RETENTION_DAYS", ge=1, le=3650)] = (
        DEFAULT_RETENTION.days
    )


# All of this happens once, at the cold start; a wrong setting fails there and says so.
settings = Settings.model_validate(os.environ)
logger = Logger(service=TRANSCRIPT_PROCESSOR)
metrics = Metrics(namespace=settings.namespace, service=TRANSCRIPT_PROCESSOR)
# An entire batch that failed is reported message by message too, not as a crash.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
# Gives up on a slow table soon: the queue brings the message again. See `SLOWEST_PUT_MS`.
dynamodb = connect("dynamodb", connect_seconds=1, read_seconds=1, attempts=2)
table = ConversationTable(
    settings.table_name,
    cast("DynamoDBClient", dynamodb),
    retention=timedelta(days=settings.retention_days),
)


def record_handler(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """Store one message's utterance.

    Raises:
        Exception: the message is reported as failed.
    """
    message = {"message_id": record.message_id}
    try:
        if lambda_context.get_remaining_time_in_millis() < SLOWEST_PUT_MS:
            raise NoTimeLeft("left to another invocation")  # noqa: TRY301 - a failure like others
        utterance, result = process(record.body, table)
    except PoisonMessage as error:
        metrics.add_metric(name=POISON_MESSAGES, unit=MetricUnit.Count, value=1)
        logger.warning("poison message: %s", error, extra=message)
        raise
    except Exception:
        metrics.add_metric(name=FAILED_MESSAGES, unit=MetricUnit.Count, value=1)
        logger.exception("message failed", extra=message)
        raise
    metrics.add_metric(name=_METRICS[result], unit=MetricUnit.Count, value=1)
    logger.info(
        "utterance %s",
        result,
        extra=message
        | {
            "conversation_id": utterance.conversation_id,
            "utterance_id": utterance.utterance_id,
        },
    )


@metrics.log_metrics
@logger.inject_lambda_context(log_event=False)  # explicit: no variable may turn it on
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Store a batch of messages; return those that failed."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
