"""Stores live conversations in one DynamoDB table, with an item per utterance.

An item is written once and never changed. Its attributes:

| attribute               | type | value                                                    |
|-------------------------|------|----------------------------------------------------------|
| `conversationId`        | S    | partition key                                            |
| `timestamp#utteranceId` | S    | sort key, `2026-11-20T17:29:03.250Z#...`: order of time  |
| `speaker`, `language`   | S    |                                                          |
| `speakerLabel`          | S    | only where the engine distinguishes people at one mic    |
| `channel`               | N    | only where channels are recognised separately            |
| `startTime`, `endTime`  | N    | seconds on the timeline of the stream                    |
| `text`                  | S    |                                                          |
| `number`                | N    | of the finals of one stream, from 1; older items have none |
| `words`                 | S    | JSON: `[[word, startTime, endTime, confidence], ...]`    |
| `expiresAt`             | N    | seconds since 1970, when DynamoDB may delete the item    |

Words are one JSON text because nobody asks the table for a single word, and because a list
of maps would take about three times the bytes. The timestamp and the utterance's id are
not repeated outside the key.

DynamoDB refuses items over 400 KB. A text of 20,000 characters takes at most 80,000 bytes of
UTF-8, so the text always fits; words that need more than `MAX_WORDS_BYTES` are left out.

Errors are botocore's: `ClientError` when DynamoDB refuses, other `BotoCoreError`s when it
cannot be reached. Within this module:

    ValueError
    └── UnreadableItem    an item is not an utterance; `read` logs and skips it
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from botocore.exceptions import ClientError
from pydantic import Field, TypeAdapter, ValidationError

from foundation.invalid import summarise
from transcripts.models import Seconds, Utterance, Word, iso_milliseconds

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: Attributes as DynamoDB's API writes them, e.g. `{"text": {"S": "hello"}}`.
Item: TypeAlias = dict[str, dict[str, str]]
#: The values of an item's partition key and sort key.
Key: TypeAlias = tuple[str, str]

PARTITION_KEY = "conversationId"
SORT_KEY = "timestamp#utteranceId"
EXPIRY = "expiresAt"

#: The most keys that DynamoDB takes in one call (API reference, BatchGetItem).
MOST_KEYS = 100

#: Time after which DynamoDB deletes an utterance, which it does within a few days.
DEFAULT_RETENTION = timedelta(days=30)

#: Before everything that is stored.
BEGIN_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)

#: Largest `words` of an item: some 5,000 words, half an hour without a pause.
MAX_WORDS_BYTES = 300_000

_Confidence = Annotated[float, Field(ge=0, le=1)]
_words: TypeAdapter[tuple[tuple[str, Seconds, Seconds, _Confidence], ...]] = TypeAdapter(
    tuple[tuple[str, Seconds, Seconds, _Confidence], ...]
)

log = logging.getLogger(__name__)  # the standard library's: the Lambda carries no structlog


class UnreadableItem(ValueError):
    """An item of the table is not an utterance. The message names no content."""


def key_of(utterance: Utterance) -> Key:
    """Return the key of the item that holds `utterance`."""
    return utterance.conversation_id, utterance.sort_key


def to_item(utterance: Utterance, retention: timedelta) -> Item:
    """Return `utterance` as an item that expires `retention` after the utterance began."""
    item: Item = {
        PARTITION_KEY: {"S": utterance.conversation_id},
        SORT_KEY: {"S": utterance.sort_key},
        "speaker": {"S": utterance.speaker},
        "language": {"S": utterance.language},
        "startTime": {"N": repr(utterance.start_time)},
        "endTime": {"N": repr(utterance.end_time)},
        "text": {"S": utterance.text},
        EXPIRY: {"N": str(int(utterance.timestamp.timestamp() + retention.total_seconds()))},
    }
    if utterance.speaker_label is not None:
        item["speakerLabel"] = {"S": utterance.speaker_label}
    if utterance.channel is not None:
        item["channel"] = {"N": str(utterance.channel)}
    if utterance.number is not None:
        item["number"] = {"N": str(utterance.number)}
    words = json.dumps(
        [(word.word, word.start_time, word.end_time, word.confidence) for word in utterance.words],
        ensure_ascii=False,
        separators=(",", ":"),
    )
    if len(words.encode()) <= MAX_WORDS_BYTES:
        item["words"] = {"S": words}
    else:
        log.warning(
            "stored without words: conversation %s, utterance %s has %d of them",
            utterance.conversation_id,
            utterance.utterance_id,
            len(utterance.words),
        )
    return item


def from_item(item: Mapping[str, Any]) -> Utterance:
    """Return the utterance that an item holds.

    Raises:
        UnreadableItem: an attribute is missing or malformed.
    """
    try:
        timestamp, _, utterance_id = item[SORT_KEY]["S"].partition("#")
        return Utterance.model_validate(
            {
                "conversation_id": item[PARTITION_KEY]["S"],
                "utterance_id": utterance_id,
                "timestamp": timestamp,
                "speaker": item["speaker"]["S"],
                "speaker_label": item["speakerLabel"]["S"] if "speakerLabel" in item else None,
                "channel": item["channel"]["N"] if "channel" in item else None,
                "number": item["number"]["N"] if "number" in item else None,
                "language": item["language"]["S"],
                "start_time": item["startTime"]["N"],
                "end_time": item["endTime"]["N"],
                "text": item["text"]["S"],
                "words": _read_words(item["words"]["S"]) if "words" in item else (),
            }
        )
    except KeyError as error:
        raise UnreadableItem(f"no attribute {error}") from None
    except ValidationError as error:
        # Without the cause, because that quotes the text.
        raise UnreadableItem(f"malformed: {summarise(error, whole='words')}") from None


def _read_words(text: str) -> tuple[Word, ...]:
    return tuple(
        Word(word=word, start_time=start, end_time=end, confidence=confidence)
        for word, start, end, confidence in _words.validate_json(text)
    )


class ConversationTable:
    """The table `conversations`.

    Calls block; from an event loop they belong in a thread, where they are safe because a
    botocore client may be shared between threads (a boto3 resource may not).
    """

    def __init__(
        self,
        table_name: str,
        client: DynamoDBClient,
        *,
        retention: timedelta = DEFAULT_RETENTION,
    ) -> None:
        self._name = table_name
        self._client = client
        self._retention = retention

    def put(self, utterance: Utterance) -> bool:
        """Store `utterance` and return True, or return False when it was stored before.

        A stored item is never rewritten, not even by another utterance of the same key.

        Raises:
            ClientError: DynamoDB refused.
            BotoCoreError: DynamoDB was not reached.
        """
        try:
            self._client.put_item(
                TableName=self._name,
                Item=to_item(utterance, self._retention),
                ConditionExpression="attribute_not_exists(#partition)",
                ExpressionAttributeNames={"#partition": PARTITION_KEY},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def since(self, conversation_id: str, moment: datetime) -> list[Utterance]:
        """Return the conversation's utterances that began at `moment` or later; see `read`.

        Raises:
            ClientError: DynamoDB refused.
            BotoCoreError: DynamoDB was not reached.
        """
        return list(self.read(conversation_id, moment))

    def read(self, conversation_id: str, moment: datetime = BEGIN_OF_TIME) -> Iterator[Utterance]:
        """Yield the conversation's utterances that began at `moment` or later, oldest first.

        A page of at most 1 MB is held at a time. `moment` is aware and counts in whole
        milliseconds. The read is strongly consistent: what `put` has stored is in it. Items that
        cannot be read are skipped with a warning.

        Raises:
            ClientError: DynamoDB refused.
            BotoCoreError: DynamoDB was not reached.
        """
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            ConsistentRead=True,
            KeyConditionExpression="#partition = :conversation AND #sort >= :moment",
            ExpressionAttributeNames={"#partition": PARTITION_KEY, "#sort": SORT_KEY},
            ExpressionAttributeValues={
                ":conversation": {"S": conversation_id},
                ":moment": {"S": iso_milliseconds(moment)},
            },
        )
        for page in pages:
            for item in page["Items"]:
                try:
                    utterance = from_item(item)
                except UnreadableItem as error:
                    log.warning(
                        "unreadable item skipped: conversation %s, %r: %s",
                        conversation_id,
                        item[SORT_KEY]["S"],
                        error,
                    )
                else:
                    yield utterance

    def has(self, keys: Collection[Key]) -> dict[Key, bool]:
        """Return which of up to `MOST_KEYS` items are in the table.

        A key that DynamoDB did not process in time is left out. The read is eventually consistent:
        an item that was stored in the last second may be missed, one that is found is there.

        Raises:
            ClientError: DynamoDB refused.
            BotoCoreError: DynamoDB was not reached.
        """
        answer = self._client.batch_get_item(
            RequestItems={
                self._name: {
                    "Keys": [
                        {PARTITION_KEY: {"S": conversation}, SORT_KEY: {"S": sort}}
                        for conversation, sort in dict.fromkeys(keys)
                    ],
                    "ProjectionExpression": "#partition, #sort",
                    "ExpressionAttributeNames": {"#partition": PARTITION_KEY, "#sort": SORT_KEY},
                }
            }
        )
        found = {_key(item) for item in answer["Responses"].get(self._name, [])}
        left = answer.get("UnprocessedKeys", {}).get(self._name, {"Keys": []})["Keys"]
        return dict.fromkeys(set(keys) - {_key(item) for item in left}, False) | dict.fromkeys(
            found, True
        )


def _key(item: Mapping[str, Any]) -> Key:
    return item[PARTITION_KEY]["S"], item[SORT_KEY]["S"]
