"""What the live service needs of AWS, created in the emulator.

In the cloud the CDK makes the same: the names of the parts and their settings follow
`infra/`; the table's keys come from the one definition in `transcripts.conversations`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transcripts.conversations import DEFAULT_RETENTION, EXPIRY, table_definition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

QUEUE = "utterances"
DEAD_LETTER_QUEUE = "utterances-dead-letters"
TABLE = "conversations"
FUNCTION = "transcript-processor"

HANDLER = "lambdas.transcript_processor.handler.handler"
#: What the function's archive holds, relative to the root of the tree.
SOURCES = ("lambdas/__init__.py", "lambdas/transcript_processor", "transcripts")

#: Deliveries of a message before it goes to the dead-letter queue.
MAX_RECEIVE_COUNT = 5
#: A message waits for a fortnight, the most that SQS allows, to be looked at.
DEAD_LETTER_SECONDS = 14 * 24 * 3600
FUNCTION_TIMEOUT = 10  # seconds
BATCH_SIZE = 10
#: Processes of the function at once; 2 is the least that an event source mapping takes.
MAX_CONCURRENCY = 2


@dataclass(frozen=True, slots=True)
class Resources:
    """What the service is told."""

    queue_url: str
    dead_letter_queue_url: str
    table_name: str


def provision(
    *,
    sqs: SQSClient,
    dynamodb: DynamoDBClient,
    functions: LambdaClient,
    root: Path,
    visibility_timeout: int,
) -> Resources:
    """Create what is missing, update what differs, keep the data.

    Args:
        sqs: client of the emulator.
        dynamodb: client of the emulator.
        functions: client of the emulator.
        root: the tree whose code the function runs.
        visibility_timeout: seconds until a message that failed is delivered again.
    """
    dead_letter_queue_url, dead_letter_queue_arn = _queue(
        sqs, DEAD_LETTER_QUEUE, {"MessageRetentionPeriod": str(DEAD_LETTER_SECONDS)}
    )
    redrive = {
        "deadLetterTargetArn": dead_letter_queue_arn,
        "maxReceiveCount": str(MAX_RECEIVE_COUNT),
    }
    queue_url, queue_arn = _queue(
        sqs,
        QUEUE,
        {"VisibilityTimeout": str(visibility_timeout), "RedrivePolicy": json.dumps(redrive)},
    )
    _table(dynamodb)
    _function(functions, archive(root))
    _mapping(functions, queue_arn)
    return Resources(queue_url, dead_letter_queue_url, TABLE)


def archive(root: Path) -> bytes:
    """Return the function's code as a zip that depends on nothing but its sources."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for path in _sources(root):
            # ZipInfo's own date is 1980-01-01, so the same code gives the same bytes.
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix())
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _sources(root: Path) -> Iterator[Path]:
    for source in SOURCES:
        path = root / source
        yield from sorted(path.rglob("*.py")) if path.is_dir() else (path,)


def _queue(
    sqs: SQSClient, name: str, attributes: dict[QueueAttributeNameType, str]
) -> tuple[str, str]:
    """Return URL and ARN of a queue, which is created or updated."""
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    known = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, known["Attributes"]["QueueArn"]


def _table(dynamodb: DynamoDBClient) -> None:
    try:
        dynamodb.create_table(**table_definition(TABLE))
    except dynamodb.exceptions.ResourceInUseException:
        return  # there is one definition only, so it is this one
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})
    dynamodb.update_time_to_live(
        TableName=TABLE,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRY},
    )


def _function(functions: LambdaClient, code: bytes) -> None:
    variables = {"TABLE_NAME": TABLE, "RETENTION_DAYS": str(DEFAULT_RETENTION.days)}
    try:
        known = functions.get_function_configuration(FunctionName=FUNCTION)
    except functions.exceptions.ResourceNotFoundException:
        functions.create_function(
            FunctionName=FUNCTION,
            Runtime="python3.13",  # the emulator runs it under its own interpreter
            Role="arn:aws:iam::000000000000:role/local",  # nobody checks it here
            Handler=HANDLER,
            Code={"ZipFile": code},
            Timeout=FUNCTION_TIMEOUT,
            Environment={"Variables": variables},
        )
        return
    if known["CodeSha256"] != base64.b64encode(hashlib.sha256(code).digest()).decode():
        functions.update_function_code(FunctionName=FUNCTION, ZipFile=code)
    functions.update_function_configuration(
        FunctionName=FUNCTION,
        Handler=HANDLER,
        Timeout=FUNCTION_TIMEOUT,
        Environment={"Variables": variables},
    )


def _mapping(functions: LambdaClient, queue_arn: str) -> None:
    known = functions.list_event_source_mappings(EventSourceArn=queue_arn, FunctionName=FUNCTION)
    if known["EventSourceMappings"]:
        return
    functions.create_event_source_mapping(
        EventSourceArn=queue_arn,
        FunctionName=FUNCTION,
        BatchSize=BATCH_SIZE,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": MAX_CONCURRENCY},
    )
