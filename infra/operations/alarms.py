"""An alarm for every way to lose words, recordings or money.

Its description names what has happened and what to do first, for it arrives as a mail in the night.
An alarm on one metric costs ten cents a month (the first ten are free), one on an expression ten
cents for each metric in it; so nothing is watched twice, and what would merely be nice to know
is on the dashboards. An expression that fills gaps has a value for the newest minute before its
metrics have arrived, so its alarm asks for some of the last minutes, never for all of them. Not
alarmed for:

- functions that are throttled other than the processor: EventBridge and Lambda go on trying for
  hours, and what they give up lies in the queue of undelivered events, which is watched;
- the website: what CloudFront cannot reach shows as "no healthy task".
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

from infra.operations import metrics
from infra.operations.notices import Notices
from infra.operations.watched import Watched

#: A final is in the table within seconds; so many mean that nothing gets through, seconds.
LATE_UTTERANCE: Final = 300
#: A final should leave its task for the queue within a second; ten times a retry's longest wait.
LATE_OUTBOX: Final = 60
#: With machines of our own a job is begun within minutes, or at the next of the set times, and may
#: stand behind many, hours.
LATE_JOB: Final = 6
#: Without, jobs wait for people; they have a fortnight, and are notified on the second day, hours.
LATE_JOB_WITHOUT_GPU: Final = 24
#: What a machine may take to stop once it is not wanted any more, minutes: its task ends (2), ECS
#: has seen it empty for a quarter of an hour, and it is drained.
MACHINE_STOP: Final = 30
#: What may pass from the wish for a machine to its first job, minutes: it may not be had at once.
GPU_START: Final = 30
#: How long a schedule may keep a machine ready without a break, minutes.
WARM_AT_MOST: Final = 23 * 60


class LossAlarms(Construct):
    """All alarms of an environment. See the module."""

    def __init__(
        self, scope: Construct, construct_id: str, *, watched: Watched, notices: Notices
    ) -> None:
        """Make the alarms and have them, and those made elsewhere, notify `notices`."""
        super().__init__(scope, construct_id)
        self._notify = actions.SnsAction(notices.topic)
        self._watched = watched
        self._redrive = f"`make redrive ENV={watched.namespace.rpartition('/')[2]} QUEUE="
        self._conversations()
        self._recordings()
        self._functions()
        if watched.captions:
            self._live()
        if watched.machine:
            self._machine()
        if watched.gpu:
            self._gpu()

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
            held = self._watched.gpu.gpu.longest_hold
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

    def _live(self) -> None:
        captions = self._watched.captions
        assert captions is not None  # noqa: S101 - for mypy; asked by the caller
        self._serving(
            captions.alarms,
            metrics.healthy_tasks(captions),
            "No task of the caption service is healthy: nobody can speak or listen. First: read "
            "why tasks stopped in the events of the ECS service; when Spot has no capacity, set "
            "on_demand_base to 1.",
            periods=3,
        )

    def _machine(self) -> None:
        live = self._watched.machine
        assert live is not None  # noqa: S101 - for mypy; asked by the caller
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
        made_elsewhere: Iterable[cloudwatch.Alarm],
        metric: cloudwatch.IMetric,
        description: str,
        *,
        periods: int,
    ) -> None:
        """Alarm where `metric`, which counts who serves, is below 1, and where finals wait."""
        for alarm in made_elsewhere:
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

    def _gpu(self) -> None:
        gpu, jobs = self._watched.gpu, self._watched.recordings.jobs
        assert gpu is not None  # noqa: S101 - for mypy; asked by the caller
        # The batch worker sees that there is no work at its next look, and that it was so for long
        # enough at one more.
        looks = 2 * self._watched.flow.look_minutes
        period = metrics.FIVE_MINUTES
        minutes = looks + gpu.gpu.idle_minutes + MACHINE_STOP
        if gpu.gpu.warm_from:  # then one is meant to run without work, but not around the clock
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
            max(metrics.FIVE_MINUTES.to_minutes(), self._watched.flow.look_minutes)
        )
        late = math.ceil(GPU_START / period.to_minutes())
        self._above(
            "GpuMissing",
            metrics.jobs_that_nobody_does(jobs, self._watched.namespace, period=period),
            0,
            "Recordings wait, a machine with a GPU is wanted, and for half an hour no recording "
            "has been in work. First: if no machine runs, look for 'insufficient capacity' in the "
            "activity of the auto scaling group, and allow more instance types, or on-demand "
            "instances. If one runs, read in the events of the ECS service and in the server's "
            "log why its task does not start: the driver, the image, a setting.",
            # One more than has to breach: the newest is 0 until its metrics arrive.
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
            # Nothing is reported of what nobody uses.
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
