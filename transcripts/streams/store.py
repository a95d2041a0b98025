"""The ledger of live streams in DynamoDB: one item for each stream.

Whoever writes names the epoch and the version that it expects. So a task whose stream was taken
over can write nothing any more, and a call whose answer was lost can be repeated as it was: the
item shows that it had been done. docs/resume.md has the states.

Errors are botocore's: `ClientError` when DynamoDB refuses, other `BotoCoreError`s when it cannot be
reached. Those of this package:

    LedgerError
    ├── Superseded       somebody else has written meanwhile, or a newer connection was served
    ├── UnknownStream    there is no such stream, or the token is another one
    └── StreamEnded      the stream is over; the error has its entry
    ValueError
    ├── UnreadableEntry  an item is not an entry
    └── TooManyFinals    an entry's finals do not fit into an item
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import ClientError

from transcripts.streams.entry import LedgerEntry, StreamState
from transcripts.streams.items import (
    ATTEMPT,
    DUE_AT,
    EPOCH,
    EXPIRY,
    SHARD,
    STATE,
    STREAM_ID,
    TOKEN_HASH,
    VERSION,
    due,
    expiry,
    from_item,
    to_item,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: The index by which the sweep finds streams.
DUE_INDEX: Final = "due"

#: What two items must have in common for the second to be the first one, written again.
_CONTENT: Final = (ATTEMPT, STATE, "progress", "unsent", "tail")


class LedgerError(Exception):
    """Base of what the ledger refuses."""


class Superseded(LedgerError):
    """Somebody else has written meanwhile, or a newer connection of the client was served."""


class UnknownStream(LedgerError):
    """There is no such stream, or the token is another one."""


class StreamEnded(LedgerError):
    """The stream is over, and all of it is in finals."""

    def __init__(self, entry: LedgerEntry) -> None:
        super().__init__("the stream has ended")
        self.entry = entry


class StreamTable:
    """The table `streams`.

    Calls block; from an event loop they belong in a thread, where they are safe because a botocore
    client may be shared between threads.
    """

    def __init__(self, table_name: str, client: DynamoDBClient) -> None:
        self._name = table_name
        self._client = client

    def create(self, entry: LedgerEntry, *, due_at: datetime) -> None:
        """Store the entry of a new stream; a repeated call changes nothing.

        Raises:
            Superseded: there is another stream of this id.
            ClientError: DynamoDB refused.
            BotoCoreError: DynamoDB was not reached.
        """
        item = to_item(entry, due_at=due_at, now=_now())
        try:
            self._client.put_item(
                TableName=self._name,
                Item=item,
                ConditionExpression="attribute_not_exists(#stream)",
                ExpressionAttributeNames={"#stream": STREAM_ID},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            # A call that hung may arrive after updates: it must not undo them.
            if _stored_instead(error).get(TOKEN_HASH) != item[TOKEN_HASH]:
                raise Superseded("there is another stream of this id") from None

    def write(self, entry: LedgerEntry, *, due_at: datetime | None) -> LedgerEntry:
        """Store the progress and the state of an entry; return it with its next version.

        A repeated call with the same entry succeeds, because the item shows that it was done.

        Args:
            entry: with the epoch and the version that it was read or written with.
            due_at: when the sweep looks at the stream; None for never.

        Raises:
            Superseded: the stream was taken over.
            TooManyFinals: they do not fit into an item.
            ClientError: DynamoDB refused.
            BotoCoreError: DynamoDB was not reached.
        """
        after = replace(entry, version=entry.version + 1)
        item = to_item(after, due_at=due_at, now=_now())
        try:
            self._client.put_item(
                TableName=self._name,
                Item=item,
                ConditionExpression="#epoch = :epoch AND #version = :version",
                ExpressionAttributeNames={"#epoch": EPOCH, "#version": VERSION},
                ExpressionAttributeValues={
                    ":epoch": {"N": str(entry.epoch)},
                    ":version": {"N": str(entry.version)},
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            stored = _stored_instead(error)
            names = (EPOCH, VERSION, *_CONTENT)
            if any(stored.get(name) != item.get(name) for name in names):
                raise Superseded("the stream was taken over") from None
        return after

    def take_over(
        self, stream_id: str, token_hash: str, attempt: int, *, due_at: datetime
    ) -> LedgerEntry:
        """Take a stream over for a client that resumes, and return its entry.

        Its `tail` is as it was; whoever takes over discards it with the next update.

        Args:
            stream_id: names the stream.
            token_hash: the SHA-256 of the secret that the client has shown, in hex.
            attempt: the number of the client's connection.
            due_at: when the sweep takes over if nothing is written until then.

        Raises:
            UnknownStream: there is none of this id, or its token is another one.
            StreamEnded: there is nothing to resume.
            Superseded: a connection with this number or a larger one was served.
            ClientError: DynamoDB refused.
            BotoCoreError: DynamoDB was not reached.
        """
        try:
            return self._take(
                stream_id,
                due_at,
                condition="#hash = :hash AND #attempt < :attempt AND #state <> :ended",
                changes="#attempt = :attempt, #state = :open",
                values={
                    ":hash": {"S": token_hash},
                    ":attempt": {"N": str(attempt)},
                    ":ended": {"S": StreamState.ENDED.value},
                    ":open": {"S": StreamState.OPEN.value},
                },
            )
        except ClientError as error:
            stored = _stored_instead(error)
            if not stored or not compare_digest(stored[TOKEN_HASH]["S"], token_hash):
                raise UnknownStream("there is no such stream") from None
            entry = from_item(stored)
            if entry.state is StreamState.ENDED:
                raise StreamEnded(entry) from None
            raise Superseded("a newer connection was served") from None

    def due(self, shard: int, now: datetime, limit: int) -> list[str]:
        """Return up to `limit` ids of a shard's streams that are due, the longest due first.

        The index is eventually consistent: whether a stream is due is decided by `take_due`.

        Raises:
            ClientError: DynamoDB refused.
            BotoCoreError: DynamoDB was not reached.
        """
        answer = self._client.query(
            TableName=self._name,
            IndexName=DUE_INDEX,
            KeyConditionExpression="#shard = :shard AND #due <= :now",
            ExpressionAttributeNames={"#shard": SHARD, "#due": DUE_AT},
            ExpressionAttributeValues={
                ":shard": {"N": str(shard)},
                ":now": {"N": str(round(now.timestamp() * 1000))},
            },
            Limit=limit,
        )
        return [item[STREAM_ID]["S"] for item in answer["Items"]]

    def take_due(self, stream_id: str, now: datetime, *, due_at: datetime) -> LedgerEntry | None:
        """Take over a stream that is due, and return its entry; None if it is not due any more.

        Raises:
            UnreadableEntry: the item is not an entry.
            ClientError: DynamoDB refused.
            BotoCoreError: DynamoDB was not reached.
        """
        try:
            return self._take(
                stream_id,
                due_at,
                condition="#due <= :now",
                changes=None,
                values={":now": {"N": str(round(now.timestamp() * 1000))}},
            )
        except ClientError as error:
            _stored_instead(error)
            return None

    def _take(
        self,
        stream_id: str,
        due_at: datetime,
        *,
        condition: str,
        changes: str | None,
        values: dict[str, Any],
    ) -> LedgerEntry:
        """Raise epoch and version under a condition, and return the entry as it is then."""
        index = due(stream_id, due_at)
        names = {
            "#hash": TOKEN_HASH,
            "#attempt": ATTEMPT,
            "#state": STATE,
            "#due": DUE_AT,
            "#epoch": EPOCH,
            "#version": VERSION,
            "#shard": SHARD,
            "#expiry": EXPIRY,
        }
        update = (
            "SET #epoch = #epoch + :one, #version = #version + :one,"
            " #due = :due, #shard = :shard, #expiry = :expiry"
        )
        update = f"{update}, {changes}" if changes else update
        used = f"{condition} {update}"
        answer = self._client.update_item(
            TableName=self._name,
            Key={STREAM_ID: {"S": stream_id}},
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeNames={key: name for key, name in names.items() if key in used},
            ExpressionAttributeValues={
                **values,
                ":one": {"N": "1"},
                ":due": index[DUE_AT],
                ":shard": index[SHARD],
                ":expiry": expiry(_now())[EXPIRY],
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return from_item(answer["Attributes"])


def _stored_instead(error: ClientError) -> Mapping[str, Any]:
    """Return the item that kept a condition from holding; empty if there is none.

    Raises:
        ClientError: DynamoDB refused for another reason.
    """
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    return cast("Mapping[str, Any]", error.response.get("Item", {}))


def _now() -> datetime:
    return datetime.now(UTC)
