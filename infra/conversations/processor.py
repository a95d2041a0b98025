"""The function that stores finals in the table."""

from __future__ import annotations

from aws_cdk import Duration
from constructs import Construct

from infra.common.functions import FunctionSettings, PythonFunction
from infra.common.nag import accept
from infra.conversations.store import PROCESSOR_SECONDS, ConversationStore
from transcripts.functions import FAILED_MESSAGES, POISON_MESSAGES, TRANSCRIPT_PROCESSOR

#: The most messages in one invocation.
BATCH = 10


class TranscriptProcessor(Construct):
    """Writes each final from the queue to the table once.

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
        """Make the function; utterances expire `utterance_days` after they were spoken."""
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
            "Serverless-LambdaEventSourceMappingDestination",
            "Lambda takes destinations for streams only; the queue has its dead letters.",
        )
        accept(
            self.function.function,
            "Serverless-LambdaDLQ",
            "Only its queue invokes the function, and a message that fails goes to the "
            "queue's dead letters.",
        )
