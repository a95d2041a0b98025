"""Entries of the ledger as items of DynamoDB. Pure.

| attribute       | type | value                                                                |
|-----------------|------|----------------------------------------------------------------------|
| `streamId`      | S    | partition key                                                        |
| `terms`         | S    | JSON: what the speaker asked for; never changes                      |
| `tokenHash`     | S    | SHA-256 of the resume token's secret, in hex                         |
| `epoch`         | N    | how often the stream was taken over                                  |
| `version`       | N    | grows with each update                                               |
| `attempt`       | N    | the largest of the client's connections                              |
| `state`         | S    | `open`, `waiting` or `ended`                                         |
| `progress`      | S    | JSON: clock, pauses, settled, heard, speakers, count                 |
| `unsent`,`tail` | S    | JSON: lists of utterances; missing where empty                       |
| `shard`         | N    | of the index; missing while the sweep has nothing to do              |
| `dueAt`         | N    | when the sweep looks at the stream, milliseconds since 1970; as above |
| `expiresAt`     | N    | seconds since 1970, when DynamoDB may delete the item                |

What no condition looks at is JSON, because nobody asks the table for a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from foundation.invalid import summarise
from transcripts.models import ConversationId, Language, Model, Speaker, Utterance
from transcripts.streams.entry import (
    LedgerEntry,
    Pause,
    StreamProgress,
    StreamState,
    StreamTerms,
)

#: Attributes as DynamoDB's API writes them, e.g. `{"state": {"S": "open"}}`.
Item: TypeAlias = dict[str, dict[str, str]]

STREAM_ID: Final = "streamId"
TOKEN_HASH: Final = "tokenHash"  # noqa: S105 - the name of an attribute
EPOCH: Final = "epoch"
VERSION: Final = "version"
ATTEMPT: Final = "attempt"
STATE: Final = "state"
SHARD: Final = "shard"
DUE_AT: Final = "dueAt"
EXPIRY: Final = "expiresAt"

#: Shards of the index, so that it has no hot partition.
SHARDS: Final = 8
#: How long after its last update an entry stays, at least. Nothing is decided by it.
RETENTION: Final = timedelta(days=2)
#: The most bytes of `unsent` and `tail` as JSON. DynamoDB refuses items over 400 KB.
MOST_FINALS_BYTES: Final = 300_000
#: An utterance that takes more bytes as JSON is kept without its words; a text has 80 KB at most.
MOST_UTTERANCE_BYTES: Final = 100_000


class UnreadableEntry(ValueError):
    """An item is not an entry. The message names no content."""


class TooManyFinals(ValueError):
    """An entry's finals do not fit into an item."""


class _Terms(Model):
    conversation_id: ConversationId
    speaker: Speaker
    language: Language
    sample_rate: int
    channels: int
    separate: bool
    options: dict[str, str]
    right: str = ""


class _Progress(Model):
    clock: datetime | None = None
    pauses: tuple[tuple[int, float], ...] = ()
    settled: int = 0
    heard: tuple[int, ...] = (0,)
    speakers: int = 0
    count: Annotated[int, Field(ge=0)] = 0


_utterances: TypeAdapter[tuple[Utterance, ...]] = TypeAdapter(tuple[Utterance, ...])


def shard_of(stream_id: str) -> int:
    """Return the shard of a stream in the index, always the same."""
    return sha256(stream_id.encode()).digest()[0] % SHARDS


def to_item(entry: LedgerEntry, *, due_at: datetime | None, now: datetime) -> Item:
    """Return an entry as an item that is due at a time, or never.

    Raises:
        TooManyFinals: its finals take more than `MOST_FINALS_BYTES`.
    """
    terms, progress = entry.terms, entry.progress
    wanted = _Terms(
        conversation_id=terms.conversation_id,
        speaker=terms.speaker,
        language=terms.language,
        sample_rate=terms.sample_rate,
        channels=terms.channels,
        separate=terms.separate,
        options=dict(terms.options),
        right=terms.right,
    )
    come_to = _Progress(
        clock=progress.clock,
        pauses=tuple((pause.frame, pause.seconds) for pause in progress.pauses),
        settled=progress.settled,
        heard=progress.heard,
        speakers=progress.speakers,
        count=progress.count,
    )
    item: Item = {
        STREAM_ID: {"S": terms.stream_id},
        "terms": {"S": wanted.model_dump_json(by_alias=True)},
        TOKEN_HASH: {"S": terms.token_hash},
        EPOCH: {"N": str(entry.epoch)},
        VERSION: {"N": str(entry.version)},
        ATTEMPT: {"N": str(progress.attempt)},
        STATE: {"S": entry.state.value},
        "progress": {"S": come_to.model_dump_json(by_alias=True, exclude_none=True)},
        **expiry(now),
    }
    room = MOST_FINALS_BYTES
    for name, finals in (("unsent", progress.unsent), ("tail", progress.tail)):
        if finals:
            text = _dump(finals)
            room -= len(text.encode())
            item[name] = {"S": text}
    if room < 0:
        raise TooManyFinals(f"finals take {MOST_FINALS_BYTES - room} bytes")
    if due_at is not None:
        item |= due(terms.stream_id, due_at)
    return item


def due(stream_id: str, due_at: datetime) -> Item:
    """Return the attributes with which the sweep finds a stream."""
    milliseconds = round(due_at.timestamp() * 1000)
    return {SHARD: {"N": str(shard_of(stream_id))}, DUE_AT: {"N": str(milliseconds)}}


def expiry(now: datetime) -> Item:
    """Return the attribute by which DynamoDB deletes what nobody has written for long."""
    return {EXPIRY: {"N": str(int((now + RETENTION).timestamp()))}}


def from_item(item: Mapping[str, Any]) -> LedgerEntry:
    """Return the entry that an item holds.

    Raises:
        UnreadableEntry: an attribute is missing or malformed.
    """
    try:
        terms = _Terms.model_validate_json(item["terms"]["S"])
        come_to = _Progress.model_validate_json(item["progress"]["S"])
        return LedgerEntry(
            terms=StreamTerms(
                stream_id=item[STREAM_ID]["S"],
                token_hash=item[TOKEN_HASH]["S"],
                **dict(terms),
            ),
            progress=StreamProgress(
                attempt=int(item[ATTEMPT]["N"]),
                clock=come_to.clock,
                pauses=tuple(Pause(frame, seconds) for frame, seconds in come_to.pauses),
                settled=come_to.settled,
                heard=come_to.heard,
                speakers=come_to.speakers,
                count=come_to.count,
                unsent=_load(item, "unsent"),
                tail=_load(item, "tail"),
            ),
            state=StreamState(item[STATE]["S"]),
            epoch=int(item[EPOCH]["N"]),
            version=int(item[VERSION]["N"]),
        )
    except KeyError as error:
        raise UnreadableEntry(f"no attribute {error}") from None
    except ValidationError as error:
        # Without the cause, because that quotes the text.
        raise UnreadableEntry(f"malformed: {summarise(error, whole='item')}") from None
    except ValueError:
        raise UnreadableEntry("malformed: a number or the state") from None


def _dump(finals: tuple[Utterance, ...]) -> str:
    texts = []
    for utterance in finals:
        text = utterance.model_dump_json(by_alias=True, exclude_none=True)
        if len(text.encode()) > MOST_UTTERANCE_BYTES:
            without = utterance.model_copy(update={"words": ()})
            text = without.model_dump_json(by_alias=True, exclude_none=True)
        texts.append(text)
    return f"[{','.join(texts)}]"


def _load(item: Mapping[str, Any], name: str) -> tuple[Utterance, ...]:
    return _utterances.validate_json(item[name]["S"]) if name in item else ()
