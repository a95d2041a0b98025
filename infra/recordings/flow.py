"""The functions that process recordings, and the events that invoke them.

    uploaded object ---.            .-> GPU server (infra.gpu), at once
    application event -'-> router --'-> jobs -> GPU server, later; dead letters after 6 attempts
                                '-- wake -> batch worker: as many GPUs as there is work
    every minute -----------------------------'
    outcome of a chunk ----.
    metadata of a session --+-> session combiner
    end of a session ------'

No event is lost. If a function cannot be invoked, the event's rule retries. If a function fails,
Lambda retries. An event that is still unhandled then goes to the queue `undelivered`; an event
that a function refuses goes there at once.

**Bursts.** No function reserves concurrency. The router asks the server for its load before it
posts a recording, and queues the recording if the server is busy or does not answer within a
second. So if a thousand recordings are uploaded at once, the server takes as many as its own queue
holds, and SQS takes the rest within seconds. Reserved concurrency would only move the waiting into
Lambda, which retries throttled events after up to minutes and drops them after `EVENT_AGE`. It
would also be taken from the account's concurrency, and new accounts have none to spare.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.common.functions import FunctionSettings, PythonFunction
from infra.common.nag import accept
from infra.recordings import access
from infra.recordings.events import (
    audio_created,
    session_ended,
    session_part_created,
    transcript_requested,
)
from infra.recordings.store import RecordingStore
from infra.recordings.target import TranscriptionTarget
from infra.recordings.wake import make_wake_queue
from transcripts.functions import BATCH_WORKER, ROUTER, SESSION_COMBINER

#: How long the router may work on a recording that a server transcribes at once. It waits for most
#: of that time, and a minute of waiting costs two hundredths of a cent. Longer recordings are
#: queued.
ROUTER_TIME = Duration.minutes(5)
#: Enough for the largest session that is combined at all, whose transcripts are 384 MiB; most
#: sessions take a second. This much memory comes with a whole vCPU.
COMBINER_TIME = Duration.minutes(10)
COMBINER_MEMORY_MIB = 1769
#: How long an event's rule, and then Lambda, retry an event.
EVENT_AGE = Duration.hours(2)


class RecordingFlow(Construct):
    """The functions for recordings. See the module.

    Attributes:
        router: passes each uploaded recording to the server, or queues it.
        batch_worker: starts and stops GPUs.
        session_combiner: combines the transcripts of a session's chunks.
        check_minutes: how often the batch worker checks the queue without being woken.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: FunctionSettings,
        store: RecordingStore,
        target: TranscriptionTarget | None,
    ) -> None:
        """Make functions and rules. Without `target`, jobs wait until somebody processes them."""
        super().__init__(scope, construct_id)
        self._store = store
        self._target = target
        self.check_minutes = settings.functions.batch_worker_minutes
        self.router = self._make_router(settings)
        self.session_combiner = self._make_session_combiner(settings)
        self.batch_worker = self._make_batch_worker(settings)
        for function in (self.router, self.session_combiner, self.batch_worker):
            function.alias.configure_async_invoke(
                max_event_age=EVENT_AGE,
                retry_attempts=2,
                # This also grants the function the right to send there, which it uses for events
                # that it refuses (`lambdas.undelivered`).
                on_failure=destinations.SqsDestination(store.undelivered),
            )
            accept(
                function.function,
                "Serverless-LambdaDLQ",
                "Events reach the alias, whose failure destination is `undelivered`; a "
                "dead-letter queue of the function would hold the same events again.",
            )
        bucket = store.bucket
        self._invoke_on("Uploaded", self.router, audio_created(bucket))
        self._invoke_on("Asked", self.router, transcript_requested(bucket))
        self._invoke_on("ChunkDone", self.session_combiner, session_part_created(bucket))
        self._invoke_on("SessionEnded", self.session_combiner, session_ended(bucket))
        if target:
            self._schedule_batch_worker(target)

    def _schedule_batch_worker(self, target: TranscriptionTarget) -> None:
        """Invoke the batch worker for queued jobs, regularly, and at the configured times."""
        wakes = make_wake_queue(self, sender=self.router, worker=self.batch_worker)
        self.router.function.add_environment("WAKE_QUEUE_URL", wakes.queue_url)
        self._invoke_every("Tick", events.Schedule.rate(Duration.minutes(self.check_minutes)))
        orders: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
            ("WarmFrom", target.config.warm_from, {"keepWarm": True}),
            ("WarmUntil", target.config.warm_until, {"keepWarm": False}),
            ("BatchAt", target.config.batch_at, {"workOff": True}),
        )
        for name, expression, order in orders:
            if expression is not None:
                self._invoke_every(name, events.Schedule.expression(expression), order)

    def _make_router(self, settings: FunctionSettings) -> PythonFunction:
        target = self._target
        router = PythonFunction(
            self,
            "Router",
            settings=settings,
            name=ROUTER,
            environment={
                "RECORDINGS_BUCKET": self._store.bucket.bucket_name,
                "JOBS_QUEUE_URL": self._store.jobs.queue_url,
                "UNDELIVERED_QUEUE_URL": self._store.undelivered.queue_url,
                **(_router_settings(target) if target else {}),
            },
            timeout=ROUTER_TIME,
            placement=target.router_placement if target else None,
        )
        self._store.jobs.grant(router.function, "sqs:SendMessage")
        # It reads a recording's size only where there is a server to choose.
        audio = access.AUDIO if target else ()
        access.allow(_role(router), self._store, read=(*audio, *access.OUTCOMES))
        return router

    def _make_session_combiner(self, settings: FunctionSettings) -> PythonFunction:
        combiner = PythonFunction(
            self,
            "SessionCombiner",
            settings=settings,
            name=SESSION_COMBINER,
            environment={
                "RECORDINGS_BUCKET": self._store.bucket.bucket_name,
                "UNDELIVERED_QUEUE_URL": self._store.undelivered.queue_url,
            },
            timeout=COMBINER_TIME,
            memory_mib=COMBINER_MEMORY_MIB,
        )
        access.allow(
            _role(combiner), self._store, read=access.SESSION_SOURCES, write=access.SESSIONS
        )
        return combiner

    def _make_batch_worker(self, settings: FunctionSettings) -> PythonFunction:
        target = self._target
        worker = PythonFunction(
            self,
            "BatchWorker",
            settings=settings,
            name=BATCH_WORKER,
            environment={
                "JOBS_QUEUE_URL": self._store.jobs.queue_url,
                **(_batch_worker_settings(target) if target else {}),
            },
            # Eight calls of AWS, each at its slowest.
            timeout=Duration.seconds(240),
        )
        self._store.jobs.grant(worker.function, "sqs:GetQueueAttributes")
        if target:
            _let_read_metrics(worker)
            worker.function.add_to_role_policy(
                iam.PolicyStatement(
                    actions=[
                        "ecs:DescribeServices",
                        "ecs:UpdateService",
                        # It keeps its state in tags of the service.
                        "ecs:TagResource",
                        "ecs:UntagResource",
                    ],
                    resources=[target.service_arn],
                )
            )
        return worker

    def _invoke_on(self, name: str, function: PythonFunction, pattern: events.EventPattern) -> None:
        events.Rule(self, name, event_pattern=pattern, targets=[self._rule_target(function)])

    def _invoke_every(
        self, name: str, schedule: events.Schedule, message: dict[str, Any] | None = None
    ) -> None:
        events.Rule(
            self, name, schedule=schedule, targets=[self._rule_target(self.batch_worker, message)]
        )

    def _rule_target(
        self, function: PythonFunction, message: dict[str, Any] | None = None
    ) -> events.IRuleTarget:
        return targets.LambdaFunction(
            function.alias,
            event=events.RuleTargetInput.from_object(message) if message else None,
            # By its ARN, so that the CDK adds no statement for each rule to the queue's policy: the
            # queue is in a stack below this one and admits all rules of the account.
            dead_letter_queue=sqs.Queue.from_queue_arn(
                function,
                f"Undelivered{len(function.node.children)}",
                self._store.undelivered.queue_arn,
            ),
            max_event_age=EVENT_AGE,
            retry_attempts=10,
        )


def _router_settings(target: TranscriptionTarget) -> dict[str, str]:
    return {
        "GPU_URL": target.url,
        "AUTH_TOKEN": target.token,
        "SERVER_SPEED": str(target.config.speed),
    }


def _batch_worker_settings(target: TranscriptionTarget) -> dict[str, str]:
    chosen = target.config
    return {
        "CLUSTER": target.cluster_name,
        "SERVICE": target.service_name,
        "MAXIMUM_INSTANCES": str(chosen.maximum_instances),
        "JOBS_PER_INSTANCE": str(chosen.jobs_per_instance),
        "IDLE_MINUTES": str(chosen.idle_minutes),
        "JOBS_TO_START": str(chosen.jobs_to_start),
        "LONGEST_WAIT_MINUTES": str(chosen.longest_wait_minutes),
        "AT_SET_TIMES": str(chosen.batch_at is not None).lower(),
    }


def _let_read_metrics(worker: PythonFunction) -> None:
    """Let the batch worker count the recordings that the router posts without a job."""
    worker.function.add_to_role_policy(
        iam.PolicyStatement(actions=["cloudwatch:GetMetricStatistics"], resources=["*"])
    )
    accept(
        _role(worker),
        "AwsSolutions-IAM5[Resource::*]",
        "cloudwatch:GetMetricStatistics, which is about no resource: AWS knows it only for `*`.",
    )


def _role(function: PythonFunction) -> iam.IRole:
    role = function.function.role
    assert role is not None  # noqa: S101 - for mypy; `PythonFunction` makes one
    return role
