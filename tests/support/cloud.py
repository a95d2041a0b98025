"""The AWS of one machine for integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from local_cloud.aws import Emulator
from local_cloud.resources import Resources
from transcripts.conversations import ConversationTable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

#: A failed message comes again after so many seconds; in production it is half a minute.
VISIBILITY_TIMEOUT = 2


@dataclass(frozen=True, slots=True)
class Cloud:
    """An emulator with everything that the live service needs."""

    emulator: Emulator
    resources: Resources

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of a child process that uses this cloud."""
        return self.emulator.environment()

    @property
    def table(self) -> ConversationTable:
        return ConversationTable(self.resources.table_name, self.client("dynamodb"))

    @overload
    def client(self, service: Literal["sqs"]) -> SQSClient: ...
    @overload
    def client(self, service: Literal["dynamodb"]) -> DynamoDBClient: ...
    @overload
    def client(self, service: Literal["lambda"]) -> LambdaClient: ...
    def client(
        self, service: Literal["sqs", "dynamodb", "lambda"]
    ) -> SQSClient | DynamoDBClient | LambdaClient:
        return self.emulator.client(service)


@asynccontextmanager
async def cloud_of_one_machine(data: Path) -> AsyncIterator[Cloud]:
    """Start an emulator on `data` and provision it; stop it at the end.

    Raises:
        EmulatorMissing: `make emulator` was not run; the message says so.
    """
    async with Emulator(data) as emulator:
        yield Cloud(emulator, await emulator.provision(visibility_timeout=VISIBILITY_TIMEOUT))
