"""Storage of recordings: their bucket, the queue of jobs and the queue of undelivered events."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.common.buckets import make_log_bucket, make_private_bucket
from infra.common.nag import accept
from infra.common.outputs import add_outputs
from infra.common.queues import make_dead_letter_queue, make_queue_with_dead_letters
from infra.config.data import DataConfig

#: How long a job belongs to one worker. A worker that needs longer extends the time.
JOB_VISIBILITY = Duration.minutes(15)
#: Deliveries of a job before it becomes a dead letter. A job that a worker returns, for example
#: on Spot's notice, has used one of them.
JOB_ATTEMPTS = 6
#: Days until the parts of an aborted upload, and replaced or deleted versions, are removed.
INCOMPLETE_DAYS = 1
REPLACED_DAYS = 30
#: How long browsers keep the answer that a page may ask the bucket.
CORS_AGE = Duration.hours(1)


class RecordingStore(Construct):
    """The bucket of recordings and the queues of work on them.

    Attributes:
        bucket: recordings and transcripts, under the keys of `transcripts.recordings.keys`.
        jobs: recordings to transcribe, as JSON of `TranscriptionJob`.
        dead_letters: jobs that failed `JOB_ATTEMPTS` times.
        undelivered: events that a function refused, failed on or never received.
        days: how long recordings are kept; None for ever.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        data: DataConfig,
        page_origins: Sequence[str] = (),
    ) -> None:
        """Make the bucket and the queues.

        Args:
            scope: the parent.
            construct_id: the id in it.
            data: sets protection and retention.
            page_origins: pages whose people upload and download by addresses that the API signs;
                `*` stands for any characters.
        """
        super().__init__(scope, construct_id)
        self.days = data.recording_days
        self.bucket = make_private_bucket(
            self,
            "Bucket",
            protected=data.protected,
            # A recording cannot be made again, so a protected environment can undo a mistake.
            # Elsewhere every version would be paid for.
            versioned=data.protected,
            lifecycle_rules=_lifecycle(data),
            access_log=make_log_bucket(self, "AccessLogs") if data.protected else None,
        )
        if page_origins:
            # It opens nothing: the address that the API signed is the right, whoever asks.
            self.bucket.add_cors_rule(
                allowed_methods=[s3.HttpMethods.GET, s3.HttpMethods.PUT],
                allowed_origins=list(page_origins),
                allowed_headers=["content-type"],
                exposed_headers=["ETag"],
                max_age=int(CORS_AGE.to_seconds()),
            )
        if not data.protected:
            accept(
                self.bucket,
                "AwsSolutions-S1",
                "Recordings are kept for a short time here, and a log of requests would "
                "outlive them. Protected environments keep one.",
            )
        _send_events_to_bus(self.bucket)
        self.jobs, self.dead_letters = make_queue_with_dead_letters(
            self, "Jobs", visibility=JOB_VISIBILITY, attempts=JOB_ATTEMPTS
        )
        self.undelivered = make_dead_letter_queue(self, "Undelivered")
        _let_rules_send(self.undelivered)
        add_outputs(
            self,
            RecordingsBucketName=self.bucket.bucket_name,
            JobsQueueUrl=self.jobs.queue_url,
            JobsDeadLettersUrl=self.dead_letters.queue_url,
            UndeliveredQueueUrl=self.undelivered.queue_url,
        )


def _lifecycle(data: DataConfig) -> list[s3.LifecycleRule]:
    """Return when objects expire.

    Transcripts expire with their recordings: a rule selects by prefix, and both are under the
    prefix of their user.
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


def _send_events_to_bus(bucket: s3.Bucket) -> None:
    """Send the bucket's events to EventBridge.

    The CDK's `event_bridge_enabled` does so through a function that may change every bucket of the
    account. CloudFormation needs no function.
    """
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - what a Bucket is made of
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
            event_bridge_enabled=True
        )
    )


def _let_rules_send(queue: sqs.Queue) -> None:
    """Let every EventBridge rule of the account send to the queue.

    The rules are in a stack above the queue's, so their own ARNs are not known here.
    """
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
