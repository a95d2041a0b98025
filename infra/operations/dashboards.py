"""Two dashboards in CloudWatch: usage for the business, health for the operator.

An account has three dashboards free; further ones cost three dollars a month each.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.access.api import AccountsApi
from infra.common.functions import PythonFunction
from infra.gpu.server import GpuServer
from infra.live.machine_service import MachineService
from infra.live.service import CaptionService
from infra.operations import metrics
from infra.operations.watched import Watched
from transcripts.functions import (
    API,
    API_REFUSALS,
    BATCH_WORKER,
    EVENTS_REFUSED,
    FAILED_MESSAGES,
    MACHINES_WANTED,
    POISON_MESSAGES,
    RECORDINGS_QUEUED,
    RECORDINGS_TRANSCRIBED,
    ROUTER,
    SESSION_COMBINER,
    SESSIONS_WRITTEN,
    TRANSCRIPT_PROCESSOR,
    UTTERANCES_STORED,
)

#: Of 24 columns.
_HALF, _THIRD = 12, 8
_DAY = Duration.days(1)
_SUM, _MAXIMUM = cloudwatch.Stats.SUM, cloudwatch.Stats.MAXIMUM
_AVERAGE = cloudwatch.Stats.AVERAGE


class Dashboards(Construct):
    """Both dashboards. See the module."""

    def __init__(self, scope: Construct, construct_id: str, *, watched: Watched) -> None:
        """Make both dashboards for the capabilities that the environment has."""
        super().__init__(scope, construct_id)
        business = cloudwatch.Dashboard(self, "Business", default_interval=Duration.days(30))
        business.add_widgets(*_business(watched))
        operator = cloudwatch.Dashboard(self, "Operator", default_interval=Duration.hours(6))
        operator.add_widgets(*_queues(watched))
        operator.add_widgets(*_functions(watched))
        if watched.api:
            operator.add_widgets(*_accounts(watched, watched.api))
        if watched.captions:
            operator.add_widgets(*_live(watched, watched.captions))
        if watched.machine:
            operator.add_widgets(*_machine(watched, watched.machine))
        if watched.gpu:
            operator.add_widgets(*_gpu(watched, watched.gpu))


def _business(watched: Watched) -> list[cloudwatch.IWidget]:
    """Return graphs of usage by day."""
    widgets = [
        _graph(
            "Utterances a day",
            _of_function(watched, UTTERANCES_STORED, TRANSCRIPT_PROCESSOR, "stored"),
            width=_THIRD,
        ),
        _graph(
            "Recordings a day",
            _of_function(watched, RECORDINGS_TRANSCRIBED, ROUTER, "transcribed at once"),
            _of_function(watched, RECORDINGS_QUEUED, ROUTER, "queued"),
            _of_function(watched, SESSIONS_WRITTEN, SESSION_COMBINER, "sessions"),
            width=_THIRD,
        ),
    ]
    if watched.captions or watched.machine:
        # Tasks report how many streams are open once a minute, so their sum is in minutes.
        widgets.append(
            _graph(
                "Minutes of live audio a day",
                _own(watched, "OpenStreams", _SUM, "minutes", period=_DAY),
                width=_THIRD,
            )
        )
        widgets.append(
            _graph(
                "Open at a time",
                _own(watched, "OpenStreams", _SUM, "streams"),
                _own(watched, "Viewers", _SUM, "viewers"),
                width=_HALF,
            )
        )
        widgets.append(
            _graph(
                "Turned away, an hour",
                _own(watched, "Refusals", _SUM, "refusals", period=Duration.hours(1)),
                width=_HALF,
            )
        )
    return widgets


def _queues(watched: Watched) -> list[cloudwatch.IWidget]:
    utterances, recordings = watched.conversations, watched.recordings
    return [
        _graph(
            "Messages that wait",
            _named(metrics.waiting(utterances.queue), "utterances"),
            _named(metrics.waiting(recordings.jobs), "jobs"),
            width=_THIRD,
        ),
        _graph(
            "Age of the oldest message, s",
            _named(metrics.age(utterances.queue), "utterances"),
            right=[_named(metrics.age(recordings.jobs), "jobs")],
            width=_THIRD,
        ),
        _graph(
            "Given up (should be 0)",
            _named(metrics.waiting(utterances.dead_letters), "utterances"),
            _named(metrics.waiting(recordings.dead_letters), "jobs"),
            _named(metrics.waiting(recordings.undelivered), "events"),
            width=_THIRD,
        ),
    ]


def _functions(watched: Watched) -> list[cloudwatch.IWidget]:
    flow = watched.flow
    functions = {
        TRANSCRIPT_PROCESSOR: watched.processor.function,
        ROUTER: flow.router,
        BATCH_WORKER: flow.batch_worker,
        SESSION_COMBINER: flow.session_combiner,
        **({API: watched.api.function} if watched.api else {}),
    }
    return [
        _graph("Errors of functions", *_each(functions, "Errors", _SUM), width=_THIRD),
        _graph("Throttled calls", *_each(functions, "Throttles", _SUM), width=_THIRD),
        _graph("Duration of calls, p95, ms", *_each(functions, "Duration", "p95"), width=_THIRD),
        _graph(
            "Messages that failed",
            _of_function(watched, FAILED_MESSAGES, TRANSCRIPT_PROCESSOR, "failed"),
            _of_function(watched, POISON_MESSAGES, TRANSCRIPT_PROCESSOR, "poison"),
            _of_function(watched, EVENTS_REFUSED, ROUTER, "events refused"),
            width=_HALF,
        ),
        _graph(
            "DynamoDB: refused writes",
            metrics.refused_writes(watched.conversations.table),
            width=_HALF,
        ),
    ]


def _accounts(watched: Watched, api: AccountsApi) -> list[cloudwatch.IWidget]:
    of_api = api.entrance.api
    return [
        _graph(
            "API of accounts: requests",
            _named(of_api.metric_count(period=metrics.FIVE_MINUTES, statistic=_SUM), "all"),
            _named(of_api.metric_client_error(period=metrics.FIVE_MINUTES), "4xx"),
            _named(of_api.metric_server_error(period=metrics.FIVE_MINUTES), "5xx"),
            width=_HALF,
        ),
        _graph(
            "API of accounts: refused by the function, a day",
            _of_function(watched, API_REFUSALS, API, "refused"),
            width=_HALF,
        ),
    ]


def _live(watched: Watched, captions: CaptionService) -> list[cloudwatch.IWidget]:
    return [
        _graph(
            "Tasks",
            _named(metrics.healthy_tasks(captions), "healthy"),
            _named(metrics.of_captions(captions, "UnHealthyHostCount", _MAXIMUM), "unhealthy"),
            width=_THIRD,
        ),
        _used(watched, captions.service),
        _graph(
            "Answers of tasks",
            _named(metrics.of_captions(captions, "HTTPCode_Target_4XX_Count", _SUM), "4xx"),
            _named(metrics.of_captions(captions, "HTTPCode_Target_5XX_Count", _SUM), "5xx"),
            width=_THIRD,
        ),
        *_words(watched),
    ]


def _machine(watched: Watched, live: MachineService) -> list[cloudwatch.IWidget]:
    return [
        _graph(
            "Signs of life (1 a minute)",
            _named(metrics.heartbeat(watched.namespace), "of the task"),
            right=[
                _named(
                    live.machine.metric("StatusCheckFailed", _MAXIMUM),
                    "failed checks of the machine",
                )
            ],
            width=_THIRD,
        ),
        _used(watched, live.service),
        _graph(
            "CPU of the machine",
            _named(live.machine.metric("CPUUtilization", _AVERAGE), "used, %"),
            right=[_named(live.machine.metric("CPUCreditBalance", _AVERAGE), "credits left")],
            width=_THIRD,
        ),
        *_words(watched),
    ]


def _used(watched: Watched, service: ecs.BaseService) -> cloudwatch.IWidget:
    five = metrics.FIVE_MINUTES
    return _graph(
        "CPU and memory of tasks, %",
        _named(service.metric_cpu_utilization(period=five), "CPU"),
        _named(service.metric_memory_utilization(period=five), "memory"),
        _own(watched, "SlotsInUse", _AVERAGE, "slots in use"),
        width=_THIRD,
    )


def _words(watched: Watched) -> list[cloudwatch.IWidget]:
    return [
        _graph(
            "Delays, s",
            _own(watched, "FinalDelay", _AVERAGE, "final after its end"),
            _own(watched, "Lag", _AVERAGE, "audio that waits"),
            width=_HALF,
        ),
        _graph(
            "Outbox",
            _own(watched, "OutboxWaiting", _SUM, "finals that wait"),
            right=[_named(metrics.outbox_age(watched.namespace), "age of the oldest, s")],
            width=_HALF,
        ),
    ]


def _gpu(watched: Watched, gpu: GpuServer) -> list[cloudwatch.IWidget]:
    jobs = watched.recordings.jobs
    return [
        _graph(
            "Machines with a GPU",
            _named(metrics.machines(gpu), "running"),
            _of_function(watched, MACHINES_WANTED, BATCH_WORKER, "wanted", statistic=_MAXIMUM),
            width=_HALF,
        ),
        _graph(
            "Jobs",
            _named(metrics.waiting(jobs), "waiting"),
            _named(metrics.in_work(jobs), "being done"),
            width=_HALF,
        ),
    ]


def _each(
    functions: dict[str, PythonFunction], name: str, statistic: str
) -> list[cloudwatch.IMetric]:
    return [
        function.function.metric(
            name, period=metrics.FIVE_MINUTES, statistic=statistic, label=label
        )
        for label, function in functions.items()
    ]


def _of_function(
    watched: Watched, name: str, service: str, label: str, *, statistic: str = _SUM
) -> cloudwatch.Metric:
    """Return a function's own metric: a sum by day, or a current value."""
    period = _DAY if statistic == _SUM else metrics.FIVE_MINUTES
    metric = metrics.own(
        watched.namespace, name, service=service, statistic=statistic, period=period
    )
    return _named(metric, label)


def _own(
    watched: Watched,
    name: str,
    statistic: str,
    label: str,
    *,
    period: Duration = metrics.MINUTE,
) -> cloudwatch.Metric:
    """Return a metric that the caption service sends."""
    return _named(metrics.own(watched.namespace, name, statistic=statistic, period=period), label)


def _named(metric: cloudwatch.Metric, label: str) -> cloudwatch.Metric:
    return metric.with_(label=label)


def _graph(
    title: str,
    *left: cloudwatch.IMetric,
    width: int,
    right: list[cloudwatch.Metric] | None = None,
) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right or []),
        width=width,
        left_y_axis=cloudwatch.YAxisProps(min=0),
    )
