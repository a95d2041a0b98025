"""Conversations: the queue of finals, the function that stores them, and the table.

service -> queue -> TranscriptProcessor -> table -> stream
             '-> dead letters, after five attempts
"""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.common.functions import FunctionSettings, PythonFunction
from infra.common.nag import accept
from infra.common.queues import publish, queue_with_dead_letters
from infra.config.environment import Data
from transcripts.conversations import EXPIRY, PARTITION_KEY, SORT_KEY
from transcripts.functions import FAILED_MESSAGES, POISON_MESSAGES, TRANSCRIPT_PROCESSOR

#: The function's, seconds. A message stays invisible for six times as long, as AWS advises for
#: queues that feed functions: an invocation may wait for its turn before it begins.
PROCESSOR_SECONDS = 10
VISIBILITY_SECONDS = 6 * PROCESSOR_SECONDS
#: Deliveries of a message before it goes to the dead letters.
ATTEMPTS = 5
#: Messages that one invocation gets.
BATCH = 10


class ConversationStore(Construct):
    """What is kept of conversations, and what is on its way there.

    Attributes:
        table: an item per utterance; `transcripts.conversations` says how.
        queue: finals, as JSON.
        dead_letters: messages that could not be stored.
    """

    def __init__(self, scope: Construct, construct_id: str, *, data: Data) -> None:
        """Make table and queue; `data` says for how long they are kept."""
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
                {"AwsSolutions-DDB3": "This environment chose not to pay for backups of captions."},
            )
        self.queue, self.dead_letters = queue_with_dead_letters(
            self, "Utterances", visibility=Duration.seconds(VISIBILITY_SECONDS), attempts=ATTEMPTS
        )
        publish(
            self,
            ConversationsTableName=self.table.table_name,
            UtterancesQueueUrl=self.queue.queue_url,
            UtterancesDeadLettersUrl=self.dead_letters.queue_url,
        )


class TranscriptProcessor(Construct):
    """Brings finals from the queue into the table, each once.

    Attributes:
        function: `lambdas/transcript_processor`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: FunctionSettings,
        store: ConversationStore,
        utterance_days: int,
    ) -> None:
        """Make the function; utterances expire `utterance_days` after they were said."""
        super().__init__(scope, construct_id)
        self.function = PythonFunction(
            self,
            "Function",
            settings=settings,
            name=TRANSCRIPT_PROCESSOR,
            environment={
                "TABLE_NAME": store.table.table_name,
                "RETENTION_DAYS": str(utterance_days),
            },
            timeout=Duration.seconds(PROCESSOR_SECONDS),
            failures=(FAILED_MESSAGES, POISON_MESSAGES),
        )
        store.table.grant(self.function.function, "dynamodb:PutItem")
        store.queue.grant_consume_messages(self.function.function)
        mapping = self.function.alias.add_event_source_mapping(
            "Utterances",
            event_source_arn=store.queue.queue_arn,
            batch_size=BATCH,
            report_batch_item_failures=True,
            max_concurrency=settings.functions.processor_concurrency,
        )
        accept(
            mapping,
            {
                "Serverless-LambdaEventSourceMappingDestination": (
                    "Lambda takes destinations for streams only; the queue has its dead letters."
                )
            },
        )
        accept(
            self.function.function,
            {
                "Serverless-LambdaDLQ": (
                    "Only its queue invokes the function, and a message that fails goes to the "
                    "queue's dead letters."
                )
            },
        )


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
