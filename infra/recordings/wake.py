"""The queue by which the router wakes the batch worker when it has queued a recording.

Of all wakes within 15 seconds SQS keeps one (a FIFO queue, which deduplicates by an id; the router
makes it of the time), and hands them over one after the other, for they belong to one group. So a
thousand uploads in a moment start one run of the batch worker, and never two at a time, without
concurrency that is taken from the account. From the network the router reaches SQS and no other
service that could start a function.

Jobs that others put into the queue of jobs are found at the batch worker's next look. A wake that
fails comes once more and is then dropped, for the next look finds the same.

Cost: Lambda asks the queue all the time, some 657,000 requests a month: $0.33 where the free
million is used up.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.common.functions import PythonFunction
from infra.common.nag import accept

#: A wake that failed is tried once more within this time.
KEPT: Final = Duration.minutes(5)


def wake_queue(scope: Construct, *, sender: PythonFunction, worker: PythonFunction) -> sqs.Queue:
    """Return a queue by which `sender` has `worker` look at once."""
    timeout = worker.function.timeout
    assert timeout is not None  # noqa: S101 - for mypy; `PythonFunction` gives one
    queue = sqs.Queue(
        scope,
        "Wakes",
        fifo=True,
        # Lambda wants it to be no shorter than a run.
        visibility_timeout=timeout,
        retention_period=KEPT,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
    )
    reason = "A wake that is lost costs a minute: the batch worker looks by itself."
    accept(queue, {"AwsSolutions-SQS3": reason, "Serverless-SQSRedrivePolicy": reason})
    queue.grant(sender.function, "sqs:SendMessage")
    queue.grant_consume_messages(worker.function)
    mapping = worker.alias.add_event_source_mapping(
        "Wakes", event_source_arn=queue.queue_arn, batch_size=10
    )
    accept(
        mapping,
        {
            "Serverless-LambdaEventSourceMappingDestination": "Lambda takes destinations for "
            "streams only; a wake that fails may be lost."
        },
    )
    return queue
