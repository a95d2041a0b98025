"""Recordings: their bucket, the queue of jobs, and what happens when something is uploaded.

    uploaded object ---.            .-> GPU server (infra.gpu.server), at once
    application event -'-> router --'-> jobs -> GPU server, later; dead letters after 6 attempts
                                '-- wake -> batch worker: as many GPUs as there is work
    every minute -----------------------------'
    outcome of a chunk ----.
    metadata of a session --+-> session combiner
    end of a session ------'

Nothing is lost on these ways. An event that a function cannot be given is retried by its rule,
one that the function fails on by Lambda; what is left after that lies in `undelivered`, and so does
at once what a function refuses.

**Bursts.** No function has concurrency of its own. The router asks a server how it is before it
gives it anything, and queues the recording when the server has enough to do or does not answer
within a second: so of a thousand uploads in one moment the server gets what its own queue holds,
and SQS the rest, within seconds. A bound on the router would only move the waiting into Lambda,
where events that are throttled come again after up to minutes and are given up after
`EVENT_AGE`; it would also be taken from the account, and new accounts have none to give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.common.buckets import log_bucket, private_bucket
from infra.common.functions import FunctionSettings, PythonFunction
from infra.common.nag import accept
from infra.common.queues import last_resort, publish, queue_with_dead_letters
from infra.config.environment import Data, Gpu
from infra.recordings import access
from infra.recordings.wake import wake_queue
from transcripts.functions import (
    APPLICATION_SOURCE,
    BATCH_WORKER,
    ROUTER,
    SESSION_COMBINER,
    SESSION_ENDED,
)
from transcripts.recordings.keys import (
    CHUNK_KEYS,
    CHUNK_OUTCOME_EVENTS,
    METADATA_EVENTS_END,
    UPLOADS,
)

if TYPE_CHECKING:
    from infra.gpu.server import GpuServer

#: How long a job belongs to a worker before another one gets it; a worker that is still busy
#: with it asks for more.
JOB_VISIBILITY = Duration.minutes(15)
#: A job that is given back, as Spot's notice makes workers do, has used up an attempt.
JOB_ATTEMPTS = 6
#: What the router may spend on a recording that a server transcribes at once. It waits for most of
#: it, and a minute of waiting costs two hundredths of a cent; what may take longer is queued.
ROUTER_TIME = Duration.minutes(5)
#: Enough for the largest session that is combined at all, whose transcripts are 384 MiB; most take
#: a second. With so much memory goes a whole vCPU.
COMBINER_TIME = Duration.minutes(10)
COMBINER_MEMORY_MIB = 1769
#: Parts of an upload that was broken off, and versions that were replaced or deleted.
INCOMPLETE_DAYS = 1
REPLACED_DAYS = 30

#: How long an event is worth trying, by its rule and then by Lambda.
EVENT_AGE = Duration.hours(2)


class RecordingStore(Construct):
    """What is kept of recordings, and what is still to be done.

    Attributes:
        bucket: recordings and transcripts; `transcripts.recordings.keys` says where.
        jobs: recordings to be transcribed, as JSON of `TranscriptionJob`.
        dead_letters: jobs that failed time and again.
        undelivered: events that no function could deal with.
    """

    def __init__(self, scope: Construct, construct_id: str, *, data: Data) -> None:
        """Make bucket and queues; `data` says for how long recordings are kept."""
        super().__init__(scope, construct_id)
        self.bucket = private_bucket(
            self,
            "Bucket",
            protected=data.protected,
            # A recording cannot be made again, so where it matters a mistake can be undone.
            # Elsewhere every version would be paid for.
            versioned=data.protected,
            lifecycle_rules=_lifecycle(data),
            access_log=log_bucket(self, "AccessLogs") if data.protected else None,
        )
        if not data.protected:
            accept(
                self.bucket,
                {
                    "AwsSolutions-S1": (
                        "Recordings are kept for a short time here, and a log of requests would "
                        "outlive them. Protected environments keep one."
                    )
                },
            )
        _publish_events(self.bucket)
        self.jobs, self.dead_letters = queue_with_dead_letters(
            self, "Jobs", visibility=JOB_VISIBILITY, attempts=JOB_ATTEMPTS
        )
        self.undelivered = last_resort(self, "Undelivered")
        _let_rules_send(self.undelivered)
        publish(
            self,
            RecordingsBucketName=self.bucket.bucket_name,
            JobsQueueUrl=self.jobs.queue_url,
            JobsDeadLettersUrl=self.dead_letters.queue_url,
            UndeliveredQueueUrl=self.undelivered.queue_url,
        )


class RecordingFlow(Construct):
    """What happens to recordings. See the module.

    Attributes:
        router: gives each uploaded recording to whoever transcribes it.
        batch_worker: starts and stops GPUs.
        session_combiner: makes one transcript of a session's chunks.
        look_minutes: how often the batch worker looks by itself whether there is work.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: FunctionSettings,
        store: RecordingStore,
        gpu: GpuServer | None,
    ) -> None:
        """Make functions and rules. Without `gpu`, jobs wait until somebody else does them."""
        super().__init__(scope, construct_id)
        self._store = store
        self.look_minutes = settings.functions.batch_worker_minutes
        self.router = self._make_router(settings, gpu)
        self.session_combiner = self._make_session_combiner(settings)
        self.batch_worker = self._make_batch_worker(settings, gpu)
        for function in (self.router, self.session_combiner, self.batch_worker):
            function.alias.configure_async_invoke(
                max_event_age=EVENT_AGE,
                retry_attempts=2,
                # Gives the function the right to send there, which it also has use for itself:
                # what it refuses it puts there (`lambdas.undelivered`).
                on_failure=destinations.SqsDestination(store.undelivered),
            )
            accept(
                function.function,
                {
                    "Serverless-LambdaDLQ": (
                        "Events reach the alias, whose failure destination is `undelivered`; a "
                        "dead-letter queue of the function would hold the same events again."
                    )
                },
            )
        self._on("Uploaded", self.router, _created(store.bucket, _AUDIO))
        self._on("Asked", self.router, _asked(store.bucket))
        self._on("ChunkDone", self.session_combiner, _created(store.bucket, _OF_SESSIONS))
        self._on("SessionEnded", self.session_combiner, _session_ended(store.bucket))
        if gpu:
            self._look_for_work(settings, gpu.gpu)

    def _look_for_work(self, settings: FunctionSettings, gpu: Gpu) -> None:
        """Have the batch worker look when something is queued, regularly, and at set times."""
        wakes = wake_queue(self, sender=self.router, worker=self.batch_worker)
        self.router.function.add_environment("WAKE_QUEUE_URL", wakes.queue_url)
        self._every("Tick", events.Schedule.rate(_period(settings)))
        orders: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
            ("WarmFrom", gpu.warm_from, {"keepWarm": True}),
            ("WarmUntil", gpu.warm_until, {"keepWarm": False}),
            ("BatchAt", gpu.batch_at, {"workOff": True}),
        )
        for name, expression, order in orders:
            if expression is not None:
                self._every(name, events.Schedule.expression(expression), order)

    def _make_router(self, settings: FunctionSettings, gpu: GpuServer | None) -> PythonFunction:
        router = PythonFunction(
            self,
            "Router",
            settings=settings,
            name=ROUTER,
            environment={
                "RECORDINGS_BUCKET": self._store.bucket.bucket_name,
                "JOBS_QUEUE_URL": self._store.jobs.queue_url,
                "UNDELIVERED_QUEUE_URL": self._store.undelivered.queue_url,
                **(_server(gpu) if gpu else {}),
            },
            timeout=ROUTER_TIME,
            place=gpu.router_place if gpu else None,
        )
        self._store.jobs.grant(router.function, "sqs:SendMessage")
        # How large a recording is it asks only for a server's sake.
        audio = access.AUDIO if gpu else ()
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
            _role(combiner),
            self._store,
            read=access.SESSION_SOURCES,
            write=access.SESSIONS,
        )
        return combiner

    def _make_batch_worker(
        self, settings: FunctionSettings, gpu: GpuServer | None
    ) -> PythonFunction:
        machines = {}
        if gpu:
            machines = {
                "CLUSTER": gpu.cluster.cluster_name,
                "SERVICE": gpu.service.service_name,
                "MAXIMUM_INSTANCES": str(gpu.gpu.maximum_instances),
                "JOBS_PER_INSTANCE": str(gpu.gpu.jobs_per_instance),
                "IDLE_MINUTES": str(gpu.gpu.idle_minutes),
                "JOBS_TO_START": str(gpu.gpu.jobs_to_start),
                "LONGEST_WAIT_MINUTES": str(gpu.gpu.longest_wait_minutes),
                "AT_SET_TIMES": str(gpu.gpu.batch_at is not None).lower(),
            }
        worker = PythonFunction(
            self,
            "BatchWorker",
            settings=settings,
            name=BATCH_WORKER,
            environment={"JOBS_QUEUE_URL": self._store.jobs.queue_url, **machines},
            # Eight calls of AWS, each at its slowest.
            timeout=Duration.seconds(240),
        )
        self._store.jobs.grant(worker.function, "sqs:GetQueueAttributes")
        if gpu:
            self._let_count(worker)
            worker.function.add_to_role_policy(
                iam.PolicyStatement(
                    actions=[
                        "ecs:DescribeServices",
                        "ecs:UpdateService",
                        # What it has to remember stands in tags of the service.
                        "ecs:TagResource",
                        "ecs:UntagResource",
                    ],
                    resources=[gpu.service.service_arn],
                )
            )
        return worker

    @staticmethod
    def _let_count(worker: PythonFunction) -> None:
        """Let the batch worker see what the router gives to machines beside the queue."""
        worker.function.add_to_role_policy(
            iam.PolicyStatement(actions=["cloudwatch:GetMetricStatistics"], resources=["*"])
        )
        accept(
            _role(worker),
            {
                "AwsSolutions-IAM5[Resource::*]": "cloudwatch:GetMetricStatistics, which is about "
                "no resource: AWS knows it only for `*`."
            },
        )

    def _on(self, name: str, function: PythonFunction, pattern: events.EventPattern) -> None:
        events.Rule(self, name, event_pattern=pattern, targets=[self._target(function)])

    def _every(
        self, name: str, schedule: events.Schedule, message: dict[str, Any] | None = None
    ) -> None:
        events.Rule(
            self, name, schedule=schedule, targets=[self._target(self.batch_worker, message)]
        )

    def _target(
        self, function: PythonFunction, message: dict[str, Any] | None = None
    ) -> events.IRuleTarget:
        return targets.LambdaFunction(
            function.alias,
            event=events.RuleTargetInput.from_object(message) if message else None,
            # By its ARN: the queue belongs to a stack below this one, and lets every rule of
            # the account send (`_let_rules_send`) instead of each by its name.
            dead_letter_queue=sqs.Queue.from_queue_arn(
                function,
                f"Undelivered{len(function.node.children)}",
                self._store.undelivered.queue_arn,
            ),
            max_event_age=EVENT_AGE,
            retry_attempts=10,
        )


_AUDIO: list[dict[str, str]] = [{"wildcard": CHUNK_KEYS}, {"prefix": UPLOADS}]
_OF_SESSIONS: list[dict[str, str]] = [
    {"wildcard": CHUNK_OUTCOME_EVENTS},
    {"suffix": METADATA_EVENTS_END},
]


def _created(bucket: s3.IBucket, keys: list[dict[str, str]]) -> events.EventPattern:
    return events.EventPattern(
        source=["aws.s3"],
        # Also emitted are "Object Tags Added", "Object Deleted" and others.
        detail_type=["Object Created"],
        detail={"bucket": {"name": [bucket.bucket_name]}, "object": {"key": keys}},
    )


def _asked(bucket: s3.IBucket) -> events.EventPattern:
    """Match application events about our bucket; the bus also carries those of others."""
    name = [bucket.bucket_name]
    return events.EventPattern(
        source=[APPLICATION_SOURCE],
        detail={"$or": [{"s3Location": {"bucket": name}}, {"s3_bucket": name}]},
    )


def _session_ended(bucket: s3.IBucket) -> events.EventPattern:
    return events.EventPattern(
        source=[APPLICATION_SOURCE],
        detail_type=[SESSION_ENDED],
        detail={"bucket": [bucket.bucket_name]},
    )


def _role(function: PythonFunction) -> iam.IRole:
    role = function.function.role
    assert role is not None  # noqa: S101 - for mypy; `PythonFunction` makes one
    return role


def _server(gpu: GpuServer) -> dict[str, str]:
    """Return what the router has to know of the server."""
    return {"GPU_URL": gpu.url, "AUTH_TOKEN": gpu.token, "SERVER_SPEED": str(gpu.gpu.speed)}


def _period(settings: FunctionSettings) -> Duration:
    return Duration.minutes(settings.functions.batch_worker_minutes)


def _lifecycle(data: Data) -> list[s3.LifecycleRule]:
    """Return what is deleted when.

    Transcripts go with their recordings: a rule selects by prefix, and the layout has both
    under the prefix of their user.
    """
    rules = [
        s3.LifecycleRule(
            abort_incomplete_multipart_upload_after=Duration.days(INCOMPLETE_DAYS),
            noncurrent_version_expiration=Duration.days(REPLACED_DAYS) if data.protected else None,
        )
    ]
    if data.recording_days is not None:
        rules.append(s3.LifecycleRule(expiration=Duration.days(data.recording_days)))
    return rules


def _publish_events(bucket: s3.Bucket) -> None:
    """Have the bucket's events on the bus.

    `event_bridge_enabled` of the CDK does the same by a function of its own with the right to
    change every bucket of the account; CloudFormation needs none.
    """
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - what a Bucket is made of
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
            event_bridge_enabled=True
        )
    )


def _let_rules_send(queue: sqs.Queue) -> None:
    rules = Stack.of(queue).format_arn(service="events", resource="rule", resource_name="*")
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            sid="RulesOfThisAccount",
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={"ArnLike": {"aws:SourceArn": rules}},
        )
    )
