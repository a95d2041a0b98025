"""Storage of conversations: tables of utterances and of live streams, and the queue of finals."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.common.nag import accept
from infra.common.outputs import add_outputs
from infra.common.queues import make_queue_with_dead_letters
from infra.config.data import DataConfig
from transcripts.conversations import EXPIRY, PARTITION_KEY, SORT_KEY
from transcripts.streams import items
from transcripts.streams.store import DUE_INDEX

#: Timeout of the function that consumes the queue, seconds. A message stays invisible for six times
#: as long, as AWS recommends for queues of functions: an invocation may wait before it begins.
PROCESSOR_SECONDS = 10
VISIBILITY_SECONDS = 6 * PROCESSOR_SECONDS
#: Deliveries of a message before it becomes a dead letter.
ATTEMPTS = 5


class ConversationStore(Construct):
    """The table of utterances, the queue of finals for it, and the ledger of live streams.

    Attributes:
        table: an item per utterance, in the form of `transcripts.conversations`.
        streams: an item per live stream, in the form of `transcripts.streams.items`.
        queue: finals, as JSON.
        dead_letters: messages that could not be stored.
    """

    def __init__(self, scope: Construct, construct_id: str, *, data: DataConfig) -> None:
        """Make the table and the queue; `data` sets protection and backups."""
        super().__init__(scope, construct_id)
        days = data.point_in_time_recovery_days
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=_text(PARTITION_KEY),
            sort_key=_text(SORT_KEY),
            time_to_live_attribute=EXPIRY,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=days > 0,
                recovery_period_in_days=days or None,
            ),
            deletion_protection=data.protected,
            removal_policy=RemovalPolicy.RETAIN if data.protected else RemovalPolicy.DESTROY,
        )
        if not days:
            accept(
                self.table,
                "AwsSolutions-DDB3",
                "This environment chose not to pay for backups of captions.",
            )
        self.streams = _make_streams(self)
        self.queue, self.dead_letters = make_queue_with_dead_letters(
            self, "Utterances", visibility=Duration.seconds(VISIBILITY_SECONDS), attempts=ATTEMPTS
        )
        add_outputs(
            self,
            ConversationsTableName=self.table.table_name,
            StreamsTableName=self.streams.table_name,
            UtterancesQueueUrl=self.queue.queue_url,
            UtterancesDeadLettersUrl=self.dead_letters.queue_url,
        )


def _make_streams(scope: Construct) -> dynamodb.Table:
    """Return the ledger, whose entries matter for minutes: it has no backups, and is not kept."""
    table = dynamodb.Table(
        scope,
        "Streams",
        partition_key=_text(items.STREAM_ID),
        time_to_live_attribute=items.EXPIRY,
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        removal_policy=RemovalPolicy.DESTROY,
    )
    table.add_global_secondary_index(
        index_name=DUE_INDEX,
        partition_key=_number(items.SHARD),
        sort_key=_number(items.DUE_AT),
        projection_type=dynamodb.ProjectionType.KEYS_ONLY,
    )
    accept(table, "AwsSolutions-DDB3", "A stream's entry matters for minutes after its last word.")
    return table


def _number(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.NUMBER)


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
