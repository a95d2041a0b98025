"""The metrics of alarms and dashboards, each defined once.

Our own metrics are in the environment's namespace. Functions send theirs with the dimension
`service` (the function's name), the caption service sends them without a dimension.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sqs as sqs

from infra.gpu.server import GpuServer
from infra.live.service import CaptionService
from transcripts.functions import BATCH_WORKER, MACHINES_WANTED, RECORDINGS_TRANSCRIBED, ROUTER

MINUTE = Duration.minutes(1)
FIVE_MINUTES = Duration.minutes(5)


def waiting(queue: sqs.IQueue) -> cloudwatch.Metric:
    """Return the number of messages that wait."""
    return queue.metric_approximate_number_of_messages_visible(
        period=FIVE_MINUTES, statistic=cloudwatch.Stats.MAXIMUM
    )


def in_work(queue: sqs.IQueue) -> cloudwatch.Metric:
    """Return the number of messages that a consumer has received and not deleted."""
    return queue.metric_approximate_number_of_messages_not_visible(
        period=FIVE_MINUTES, statistic=cloudwatch.Stats.MAXIMUM
    )


def age(queue: sqs.IQueue, *, period: Duration = MINUTE) -> cloudwatch.Metric:
    """Return the age of the oldest message, seconds."""
    return queue.metric_approximate_age_of_oldest_message(
        period=period, statistic=cloudwatch.Stats.MAXIMUM
    )


def refused_writes(table: dynamodb.ITable) -> cloudwatch.MathExpression:
    """Return the number of writes that DynamoDB throttled or failed."""
    dimensions = {"TableName": table.table_name}
    return cloudwatch.MathExpression(
        expression="FILL(throttled, 0) + FILL(failed, 0)",
        label="Refused writes",
        period=MINUTE,
        using_metrics={
            "throttled": cloudwatch.Metric(
                namespace="AWS/DynamoDB",
                metric_name="WriteThrottleEvents",
                dimensions_map=dimensions,
                statistic=cloudwatch.Stats.SUM,
            ),
            "failed": cloudwatch.Metric(
                namespace="AWS/DynamoDB",
                metric_name="SystemErrors",
                dimensions_map={**dimensions, "Operation": "PutItem"},
                statistic=cloudwatch.Stats.SUM,
            ),
        },
    )


def of_captions(captions: CaptionService, name: str, statistic: str) -> cloudwatch.Metric:
    """Return a metric of the load balancer about the service's tasks."""
    return cloudwatch.Metric(
        namespace="AWS/ApplicationELB",
        metric_name=name,
        dimensions_map={
            "TargetGroup": captions.target_group.target_group_full_name,
            "LoadBalancer": captions.entrance.load_balancer_full_name,
        },
        period=MINUTE,
        statistic=statistic,
    )


def healthy_tasks(captions: CaptionService) -> cloudwatch.Metric:
    """Return the number of healthy tasks, by the load balancer node that sees most of them."""
    return of_captions(captions, "HealthyHostCount", cloudwatch.Stats.MAXIMUM)


def heartbeat(namespace: str) -> cloudwatch.Metric:
    """Return how often tasks of the caption service sent metrics; each sends once a minute."""
    return own(namespace, "OpenStreams", statistic=cloudwatch.Stats.SAMPLE_COUNT, period=MINUTE)


def own(
    namespace: str,
    name: str,
    *,
    service: str | None = None,
    statistic: str = cloudwatch.Stats.SUM,
    period: Duration = FIVE_MINUTES,
) -> cloudwatch.Metric:
    """Return a metric that our functions (with `service`) or the caption service send."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map={"service": service} if service else None,
        statistic=statistic,
        period=period,
    )


def outbox_age(namespace: str) -> cloudwatch.Metric:
    """Return how long the oldest final of any task has waited for the queue, seconds."""
    return own(namespace, "OutboxAge", statistic=cloudwatch.Stats.MAXIMUM, period=MINUTE)


def machines(gpu: GpuServer) -> cloudwatch.Metric:
    """Return the number of running machines with a GPU."""
    return cloudwatch.Metric(
        namespace="AWS/AutoScaling",
        metric_name="GroupInServiceInstances",
        dimensions_map={"AutoScalingGroupName": gpu.auto_scaling_group.auto_scaling_group_name},
        statistic=cloudwatch.Stats.MAXIMUM,
        period=FIVE_MINUTES,
    )


def idle_machines(
    gpu: GpuServer, jobs: sqs.IQueue, namespace: str, *, period: Duration = FIVE_MINUTES
) -> cloudwatch.MathExpression:
    """Return the number of machines while neither jobs nor the router's requests exist; else 0."""
    return cloudwatch.MathExpression(
        expression=(
            "IF(FILL(waiting, 0) + FILL(working, 0) + FILL(served, 0) == 0, FILL(machines, 0), 0)"
        ),
        label="Machines without work",
        period=period,
        using_metrics={
            "waiting": waiting(jobs),
            "working": in_work(jobs),
            "served": own(namespace, RECORDINGS_TRANSCRIBED, service=ROUTER),
            "machines": machines(gpu),
        },
    )


def stuck_jobs(jobs: sqs.IQueue, namespace: str, *, period: Duration) -> cloudwatch.MathExpression:
    """Return the number of waiting jobs while a machine is wanted and no job is in work; else 0.

    This happens if no machine can be had, and if a machine runs whose task cannot start. The batch
    worker reports the wanted number at each check, so `period` has to span a check. A period
    without a report repeats the one before.
    """
    return cloudwatch.MathExpression(
        expression="IF(FILL(wanted, REPEAT) > 0 AND FILL(working, 0) == 0, FILL(waiting, 0), 0)",
        label="Jobs that nobody does",
        period=period,
        using_metrics={
            "wanted": own(
                namespace,
                MACHINES_WANTED,
                service=BATCH_WORKER,
                statistic=cloudwatch.Stats.MAXIMUM,
            ),
            "working": in_work(jobs),
            "waiting": waiting(jobs),
        },
    )
