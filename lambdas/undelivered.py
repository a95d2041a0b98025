"""Moves events that no retry can help to a queue, without an error of the invocation.

Lambda retries a failed event twice, and an error within the first minutes after a deployment rolls
it back. Both are right for a defect and wrong for a bad event: anybody who may upload could roll a
deployment back by an odd key. So a function that refuses an event sends it to the queue of
undelivered events itself, where Lambda sends those that keep failing, and succeeds. An alarm on
that queue sends a mail.

The message has the shape of Lambda's own ("Capturing records of Lambda asynchronous invocations",
AWS Lambda Developer Guide), with the condition `Refused`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from lambdas.events import event_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_sqs import SQSClient

#: Less than the smallest limit that SQS has ever had, 256 KiB. Of a longer event only the id is
#: sent.
MAX_MESSAGE_BYTES: Final = 250_000


class Undelivered:
    """The queue of events that no function could handle."""

    def __init__(self, sqs: SQSClient, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def keep(self, event: Any, refusal: Exception, context: LambdaContext) -> None:
        """Send an event to the queue, with the refusal's message, which must not quote the event.

        Raises:
            Exception: the queue cannot be reached.
        """
        body = _message(event, refusal, context)
        if len(body) > MAX_MESSAGE_BYTES:
            body = _message({"id": event_id(event)}, refusal, context)
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=body)


def _message(event: Any, refusal: Exception, context: LambdaContext) -> str:
    return json.dumps(
        {
            "version": "1.0",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "requestContext": {
                "requestId": context.aws_request_id,
                "functionArn": context.invoked_function_arn,
                "condition": "Refused",
                "approximateInvokeCount": 1,
            },
            "requestPayload": event,
            "responsePayload": {
                "errorType": type(refusal).__name__,
                "errorMessage": str(refusal),
            },
        }
    )
