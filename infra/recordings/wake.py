"""The queue by which the router wakes the batch worker when it has queued a recording.

It is a FIFO queue. It deduplicates by an id that the router derives from the time, so SQS keeps one
wake per 15 seconds. All wakes are in one group, so they are delivered one at a time. A
thousand simultaneous uploads therefore start one run of the batch worker, and never two at once,
without concurrency taken from the account. From its network the router can reach SQS, but no other
service that could invoke a function.

The batch worker finds jobs that others queue at its next regular check. A wake that fails is
retried once and then dropped, because the next check finds the same jobs.

Cost: Lambda polls the queue all the time, some 657,000 requests a month: $0.33 after the free
million.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.common.functions import PythonFunction
from infra.common.nag import accept, accept_all

#: A failed wake is retried once within this time.
KEPT: Final = Duration.minutes(5)


def make_wake_queue(
    scope: Construct, *, sender: PythonFunction, worker: PythonFunction
) -> sqs.Queue:
    """Return a queue by which `sender` invokes `worker` at once."""
    timeout = worker.function.timeout
    assert timeout is not None  # noqa: S101 - for mypy; `PythonFunction` gives one
    queue = sqs.Queue(
        scope,
        "Wakes",
        fifo=True,
        # Lambda requires at least the function's timeout.
        visibility_timeout=timeout,
        retention_period=KEPT,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
    )
    reason = "A wake that is lost costs a minute: the batch worker looks by itself."
    accept_all(queue, {"AwsSolutions-SQS3": reason, "Serverless-SQSRedrivePolicy": reason})
    queue.grant(sender.function, "sqs:SendMessage")
    queue.grant_consume_messages(worker.function)
    mapping = worker.alias.add_event_source_mapping(
        "Wakes", event_source_arn=queue.queue_arn, batch_size=10
    )
    accept(
        mapping,
        "Serverless-LambdaEventSourceMappingDestination",
        "Lambda takes destinations for streams only; a wake that fails may be lost.",
    )
    return queue
