"""An alarm for every way to lose words, recordings or money.

Alarms arrive as mails in the night, so each description says what has happened and what to do
first. An alarm on one metric costs ten cents a month (the first ten are free), and an alarm on an
expression costs ten cents for each of its metrics. So nothing has two alarms, and what is merely
good to know is on the dashboards. An expression that fills gaps has a value for the newest minute
before its metrics arrive, so its alarm requires some of the last minutes, never all of them. There
is no alarm on:

- throttled functions other than the processor: EventBridge and Lambda retry for hours, and events
  that they give up are in the queue of undelivered events, which has an alarm;
- the website: an origin that CloudFront cannot reach shows as "no healthy task".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.gpu.server import GpuServer
from infra.live.machine_service import MachineService
from infra.live.service import CaptionService
from infra.operations import metrics
from infra.operations.notices import Notices
from infra.operations.watched import Watched

#: Seconds. A final is usually in the table within seconds; this many mean that none arrives.
LATE_UTTERANCE: Final = 300
#: Seconds. A final should reach the queue within one; this is ten times a retry's longest wait.
LATE_OUTBOX: Final = 60
#: Hours. With machines of our own a job starts within minutes or at the next set time, but many
#: others may be ahead of it.
LATE_JOB: Final = 6
#: Hours. Without machines jobs wait for people, who have 14 days and are notified on the second.
LATE_JOB_WITHOUT_GPU: Final = 24
#: Minutes that an unwanted machine may take to stop: its task ends (2), ECS sees it empty for a
#: quarter of an hour, and drains it.
MACHINE_STOP: Final = 30
#: Minutes from the request for a machine to its first job; capacity may not be available at once.
GPU_START: Final = 30
#: Minutes that a schedule may keep a machine warm without a break.
WARM_AT_MOST: Final = 23 * 60


class LossAlarms(Construct):
    """All alarms of an environment. See the module."""

    def __init__(
        self, scope: Construct, construct_id: str, *, watched: Watched, notices: Notices
    ) -> None:
        """Make the alarms; these and those of the constructs notify `notices`."""
        super().__init__(scope, construct_id)
        self._notify = actions.SnsAction(notices.topic)
        self._watched = watched
        self._redrive = f"`make redrive ENV={watched.namespace.rpartition('/')[2]} QUEUE="
        self._conversations()
        self._recordings()
        self._functions()
        if watched.captions:
            self._live(watched.captions)
        if watched.machine:
            self._machine(watched.machine)
        if watched.gpu:
            self._gpu(watched.gpu)

    def _conversations(self) -> None:
        kept = self._watched.conversations
        self._not_empty(
            "UtterancesLost",
            kept.dead_letters,
            "Utterances could not be stored and lie in the dead-letter queue of the utterances; "
            "14 days after they were said they are gone. First: read the transcript_processor's "
            f"log for the reason, mend it, then {self._redrive}utterances`: storing twice does no "
            "harm.",
        )
        self._above(
            "UtterancesLate",
            metrics.age(kept.queue),
            LATE_UTTERANCE,
            "Utterances have waited more than five minutes for the transcript_processor. First: "
            "see whether it runs and is not throttled, and whether DynamoDB answers.",
            periods=3,
        )
        self._above(
            "TableRefuses",
            metrics.refused_writes(kept.table),
            0,
            "DynamoDB throttles or fails writes of utterances; they are tried again five times "
            "and then become dead letters. First: look for a hot conversation on the operator's "
            "dashboard, then at the AWS Health Dashboard.",
            periods=5,
            datapoints=3,
        )

    def _recordings(self) -> None:
        kept = self._watched.recordings
        self._not_empty(
            "JobsLost",
            kept.dead_letters,
            "Recordings could not be transcribed and their jobs lie in the dead-letter queue. "
            "First: read the GPU server's log for the reason, mend it, then "
            f"{self._redrive}jobs`.",
        )
        self._not_empty(
            "EventsUndelivered",
            kept.undelivered,
            "A function refused events about recordings, could not be given them, or failed on "
            "them again and again: those recordings stay without a transcript. First: read the "
            "reason in the message (condition Refused: an odd key, a broken metadata.json), else "
            "the log of the function that it names; mend it, then "
            f"{self._redrive}undelivered`.",
        )
        hours, first = LATE_JOB_WITHOUT_GPU, "Nothing here works jobs off: start who does"
        if self._watched.gpu:
            held = self._watched.gpu.config.longest_hold
            hours = LATE_JOB + math.ceil(held.total_seconds() / 3600)
            first = "See whether machines run, and what their log says"
        self._above(
            "JobsLate",
            metrics.age(kept.jobs, period=metrics.FIVE_MINUTES),
            hours * 3600,
            f"A recording has waited more than {hours} hours for its transcript; after 14 days "
            f"its job is gone. First: {first}.",
        )

    def _functions(self) -> None:
        flow, processor = self._watched.flow, self._watched.processor
        for function in (
            processor.function,
            flow.router,
            flow.batch_worker,
            flow.session_combiner,
            *([self._watched.api.function] if self._watched.api else []),
        ):
            function.errors.add_alarm_action(self._notify)
        self._above(
            "ProcessorThrottled",
            processor.function.function.metric_throttles(period=metrics.MINUTE),
            0,
            "Lambda does not let the transcript_processor run as often as it should; utterances "
            "wait, and become dead letters after five attempts. First: see which functions take "
            "up the account's concurrent executions, and ask AWS for more.",
            periods=3,
        )

    def _live(self, captions: CaptionService) -> None:
        self._serving(
            captions.alarms,
            metrics.healthy_tasks(captions),
            "No task of the caption service is healthy: nobody can speak or listen. First: read "
            "why tasks stopped in the events of the ECS service; when Spot has no capacity, set "
            "on_demand_base to 1.",
            periods=3,
        )

    def _machine(self, live: MachineService) -> None:
        self._serving(
            live.alarms,
            metrics.heartbeat(self._watched.namespace),
            "The caption service has sent no metrics for five minutes: nobody can speak or listen. "
            "First: read why tasks stopped in the events of the ECS service, and whether its "
            "machine is registered with the cluster.",
            periods=5,
        )

    def _serving(
        self,
        alarms_of_service: Iterable[cloudwatch.Alarm],
        metric: cloudwatch.IMetric,
        description: str,
        *,
        periods: int,
    ) -> None:
        """Alarm if `metric`, the number of serving tasks, is below 1, or if finals wait."""
        for alarm in alarms_of_service:
            alarm.add_alarm_action(self._notify)
        self._alarm(
            "NobodyServes",
            metric,
            description,
            threshold=1,
            periods=periods,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            missing=cloudwatch.TreatMissingData.BREACHING,
        )
        self._above(
            "FinalsWait",
            metrics.outbox_age(self._watched.namespace),
            LATE_OUTBOX,
            "Finals wait in a task because the queue does not take them; when the task dies, "
            "they are lost. First: do not deploy and do not stop tasks; see whether SQS answers "
            "and whether the task's role may send.",
            periods=3,
        )

    def _gpu(self, gpu: GpuServer) -> None:
        jobs = self._watched.recordings.jobs
        # At its next check the batch worker sees that there is no work, and at one more that this
        # has lasted long enough.
        checks = 2 * self._watched.flow.check_minutes
        period = metrics.FIVE_MINUTES
        minutes = checks + gpu.config.idle_minutes + MACHINE_STOP
        if gpu.config.warm_from:  # a machine may run without work, but not around the clock
            period, minutes = Duration.hours(1), WARM_AT_MOST
        self._above(
            "GpuWithoutWork",
            metrics.idle_machines(gpu, jobs, self._watched.namespace, period=period),
            0,
            "A machine with a GPU runs although no job waits or is being done, and costs money by "
            "the hour. First: read the batch_worker's log; set the desired number of the GPU "
            "server's ECS service to 0.",
            periods=math.ceil(minutes / period.to_minutes()),
        )
        period = Duration.minutes(
            max(metrics.FIVE_MINUTES.to_minutes(), self._watched.flow.check_minutes)
        )
        late = math.ceil(GPU_START / period.to_minutes())
        self._above(
            "GpuMissing",
            metrics.stuck_jobs(jobs, self._watched.namespace, period=period),
            0,
            "Recordings wait, a machine with a GPU is wanted, and for half an hour no recording "
            "has been in work. First: if no machine runs, look for 'insufficient capacity' in the "
            "activity of the auto scaling group, and allow more instance types, or on-demand "
            "instances. If one runs, read in the events of the ECS service and in the server's "
            "log why its task does not start: the driver, the image, a setting.",
            # One more than has to breach: the newest period is 0 until its metrics arrive.
            periods=late + 1,
            datapoints=late,
        )

    def _not_empty(self, name: str, queue: sqs.IQueue, description: str) -> None:
        self._above(name, metrics.waiting(queue), 0, description)

    def _above(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        description: str,
        *,
        periods: int = 1,
        datapoints: int | None = None,
    ) -> None:
        self._alarm(
            name,
            metric,
            description,
            threshold=threshold,
            periods=periods,
            datapoints=datapoints,
            comparison=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            # Unused resources report nothing.
            missing=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        description: str,
        *,
        threshold: float,
        periods: int,
        comparison: cloudwatch.ComparisonOperator,
        missing: cloudwatch.TreatMissingData,
        datapoints: int | None = None,
    ) -> None:
        cloudwatch.Alarm(
            self,
            name,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            datapoints_to_alarm=datapoints,
            comparison_operator=comparison,
            treat_missing_data=missing,
        ).add_alarm_action(self._notify)
