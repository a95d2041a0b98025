"""Queues: encrypted, TLS only, and with dead letters for messages that cannot be handled."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.common.nag import accept_all

#: The longest that SQS keeps a message. It counts from the first sending, also for dead letters.
RETENTION = Duration.days(14)


def make_queue_with_dead_letters(
    scope: Construct, name: str, *, visibility: Duration, attempts: int
) -> tuple[sqs.Queue, sqs.Queue]:
    """Return a queue, and its dead-letter queue, which gets a message after `attempts` attempts."""
    dead_letters = make_dead_letter_queue(scope, f"{name}DeadLetters")
    queue = sqs.Queue(
        scope,
        f"{name}Queue",
        visibility_timeout=visibility,
        retention_period=RETENTION,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=attempts),
    )
    return queue, dead_letters


def make_dead_letter_queue(scope: Construct, construct_id: str) -> sqs.Queue:
    """Return a queue that no program consumes; people have 14 days to handle its messages."""
    queue = sqs.Queue(
        scope,
        construct_id,
        retention_period=RETENTION,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
    )
    reason = "Messages that could not be dealt with end here; an alarm notifies people."
    accept_all(queue, {"AwsSolutions-SQS3": reason, "Serverless-SQSRedrivePolicy": reason})
    return queue
