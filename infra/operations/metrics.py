"""The metrics that alarms and dashboards look at, each defined once.

Those of our own stand in the environment's namespace: functions send theirs with the dimension
`service` (the function's name), the caption service without any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sqs as sqs

from transcripts import functions

if TYPE_CHECKING:
    from infra.gpu.server import GpuServer
    from infra.live.machine import Machine
    from infra.live.service import CaptionService

MINUTE = Duration.minutes(1)
FIVE_MINUTES = Duration.minutes(5)


def waiting(queue: sqs.IQueue) -> cloudwatch.Metric:
    """Messages that wait."""
    return queue.metric_approximate_number_of_messages_visible(
        period=FIVE_MINUTES, statistic=cloudwatch.Stats.MAXIMUM
    )


def in_work(queue: sqs.IQueue) -> cloudwatch.Metric:
    """Messages that somebody is working on."""
    return queue.metric_approximate_number_of_messages_not_visible(
        period=FIVE_MINUTES, statistic=cloudwatch.Stats.MAXIMUM
    )


def age(queue: sqs.IQueue, *, period: Duration = MINUTE) -> cloudwatch.Metric:
    """How long the oldest message has waited, seconds."""
    return queue.metric_approximate_age_of_oldest_message(
        period=period, statistic=cloudwatch.Stats.MAXIMUM
    )


def refused_writes(table: dynamodb.ITable) -> cloudwatch.MathExpression:
    """Writes that DynamoDB throttled or failed."""
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
    """Tasks that are healthy in the eyes of that node of the load balancer which sees most."""
    return of_captions(captions, "HealthyHostCount", cloudwatch.Stats.MAXIMUM)


def heartbeat(namespace: str) -> cloudwatch.Metric:
    """How often a task of the caption service has sent its metrics, which is once a minute."""
    return own(namespace, "OpenStreams", statistic=cloudwatch.Stats.SAMPLE_COUNT, period=MINUTE)


def of_machine(machine: Machine, name: str, statistic: str) -> cloudwatch.Metric:
    """Return a metric of EC2 about the machine of the caption service; these are free."""
    return cloudwatch.Metric(
        namespace="AWS/EC2",
        metric_name=name,
        dimensions_map={"InstanceId": machine.resource.ref},
        period=MINUTE if name.startswith("StatusCheck") else FIVE_MINUTES,
        statistic=statistic,
    )


def own(
    namespace: str,
    name: str,
    *,
    service: str | None = None,
    statistic: str = cloudwatch.Stats.SUM,
    period: Duration = FIVE_MINUTES,
) -> cloudwatch.Metric:
    """Return a metric that our functions (`service`) or the caption service send themselves."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map={"service": service} if service else None,
        statistic=statistic,
        period=period,
    )


def outbox_age(namespace: str) -> cloudwatch.Metric:
    """How long the oldest final has waited for the queue in any task, seconds."""
    return own(namespace, "OutboxAge", statistic=cloudwatch.Stats.MAXIMUM, period=MINUTE)


def machines(gpu: GpuServer) -> cloudwatch.Metric:
    """Machines with a GPU that run."""
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
    """Machines that run while there is nothing to do, by the queue or beside it; otherwise 0."""
    return cloudwatch.MathExpression(
        expression=(
            "IF(FILL(waiting, 0) + FILL(working, 0) + FILL(served, 0) == 0, FILL(machines, 0), 0)"
        ),
        label="Machines without work",
        period=period,
        using_metrics={
            "waiting": waiting(jobs),
            "working": in_work(jobs),
            "served": own(namespace, functions.RECORDINGS_TRANSCRIBED, service=functions.ROUTER),
            "machines": machines(gpu),
        },
    )


def jobs_that_nobody_does(
    jobs: sqs.IQueue, namespace: str, *, period: Duration
) -> cloudwatch.MathExpression:
    """Jobs that wait while a machine is wanted and no job is in work; otherwise 0.

    That is so when no machine comes, and also when one runs whose task cannot start. The batch
    worker reports what is wanted at each look, so `period` has to span a look; one that falls
    beside its period repeats the one before.
    """
    return cloudwatch.MathExpression(
        expression="IF(FILL(wanted, REPEAT) > 0 AND FILL(working, 0) == 0, FILL(waiting, 0), 0)",
        label="Jobs that nobody does",
        period=period,
        using_metrics={
            "wanted": own(
                namespace,
                functions.MACHINES_WANTED,
                service=functions.BATCH_WORKER,
                statistic=cloudwatch.Stats.MAXIMUM,
            ),
            "working": in_work(jobs),
            "waiting": waiting(jobs),
        },
    )
