"""Open the table of conversations by its name; `client.aws` connects to it."""

from __future__ import annotations

from typing import Final

from client import aws
from client.aws import DEMO_HINT, AwsResource
from client.errors import UsageError
from transcripts.conversations import ConversationTable

#: The environment variable that names the table.
TABLE_VARIABLE: Final = "CONVERSATIONS_TABLE"


def table_resource(name: str | None) -> AwsResource:
    """Return the table of this name as an `AwsResource` for error messages.

    Raises:
        UsageError: no table is named.
    """
    if not name:
        raise UsageError(f"No table is named: give --table, or set {TABLE_VARIABLE}. {DEMO_HINT}")
    return AwsResource("table", name, TABLE_VARIABLE, "Needed is dynamodb:Query on it.")


def open_table(resource: AwsResource) -> ConversationTable:
    """Return the table without a request to it.

    Raises:
        UsageError, BotoCoreError: as `client.aws.connect`.
    """
    return ConversationTable(resource.name, aws.connect("dynamodb"))
