"""Queues as all of ours are: encrypted, TLS only, and none that loses what cannot be handled."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.common.nag import accept

#: The longest that SQS keeps a message. It counts from the first sending, also for dead letters.
RETENTION = Duration.days(14)


def queue_with_dead_letters(
    scope: Construct, name: str, *, visibility: Duration, attempts: int
) -> tuple[sqs.Queue, sqs.Queue]:
    """Return a queue and the one to which messages go after so many attempts."""
    dead_letters = last_resort(scope, f"{name}DeadLetters")
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


def last_resort(scope: Construct, construct_id: str) -> sqs.Queue:
    """Return a queue that nobody reads but people, who have a fortnight to do so."""
    queue = sqs.Queue(
        scope,
        construct_id,
        retention_period=RETENTION,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
    )
    reason = "Messages that could not be dealt with end here; an alarm notifies people."
    accept(queue, {"AwsSolutions-SQS3": reason, "Serverless-SQSRedrivePolicy": reason})
    return queue


def publish(scope: Construct, **values: str) -> None:
    """Make outputs of the stack, under these very names."""
    for name, value in values.items():
        CfnOutput(scope, name, value=value).override_logical_id(name)
