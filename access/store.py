"""The table `access`: conversations' records, people, API keys, used tickets and ticket keys.

| partition           | sort                   | what                                              |
|---------------------|------------------------|---------------------------------------------------|
| `conversation#ID`   | `record`               | `ConversationRecord`, JSON in `document`          |
| `person#SUBJECT`    | `conversation#TIME#ID` | a conversation in which the person has a role     |
| `person#SUBJECT`    | `profile`              | exists where an administrator has blocked them    |
| `person#SUBJECT`    | `key#ID`               | a key of the person, for listing                  |
| `key#ID`            | `key`                  | `ApiKey`, JSON in `document`                      |
| `ticket#ID`         | `used`                 | a ticket that was used                            |
| `ticketKeys`        | `ID`                   | the public part of a key for tickets              |
| `person#SUBJECT`    | `recording#ID`         | `RecordingRecord`, JSON in `document`             |
| `person#SUBJECT`    | `recordings#TIME#ID`   | a recording of the person, for listing            |
| `person#SUBJECT`    | `upload#ID`            | exists while the upload is open, for counting     |

What depends on each other is written in one transaction. A record is replaced under the condition
that its version is still the one that was read. Expiry is compared in decisions; `expiresAt` only
lets DynamoDB clean up.

Errors are botocore's: `ClientError` where DynamoDB refuses, other `BotoCoreError`s where it cannot
be reached. Besides:

    RecordChanged    somebody else changed the record since it was read
    Unreadable       an item of the table is not what it should be
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from access.callers import Caller, Person
from access.decisions import Standing
from access.records import ApiKey, ConversationRecord, RecordingRecord
from access.tickets import Ticket
from transcripts.models import iso_milliseconds

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PARTITION_KEY: Final = "partition"
SORT_KEY: Final = "sort"
EXPIRY: Final = "expiresAt"

#: The most keys that DynamoDB takes in one call (API reference, BatchGetItem).
MOST_KEYS: Final = 100
#: How often keys are asked for again that a call left out because it was too large.
_MOST_ROUNDS: Final = 4
#: Why a transaction fails if somebody else changes the same items.
_CHANGED: Final = frozenset({"ConditionalCheckFailed", "TransactionConflict"})
#: What is over stays so long, for clocks that differ.
_KEPT: Final = timedelta(days=1)

#: The values of partition and sort key.
Key: TypeAlias = tuple[str, str]
#: Attributes as DynamoDB's API writes them.
Item: TypeAlias = Mapping[str, Any]


class RecordChanged(Exception):
    """Somebody else changed the record since it was read: read it again."""


class Unreadable(ValueError):
    """An item of the table is not what it should be. The message names no content."""


@dataclass(frozen=True, slots=True)
class Page:
    """Ids of conversations, newest first; `cursor` continues after them, None at the end."""

    conversations: tuple[str, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class RecordingIds:
    """Ids of recordings, newest first; `cursor` continues after them, None at the end."""

    recordings: tuple[str, ...]
    cursor: str | None


def record_key(conversation_id: str) -> Key:
    """Return the key of a conversation's record."""
    return f"conversation#{conversation_id}", "record"


def profile_key(subject: str) -> Key:
    """Return the key of the item that blocks a person."""
    return f"person#{subject}", "profile"


def api_key_key(key_id: str) -> Key:
    """Return the key of an API key's item."""
    return f"key#{key_id}", "key"


def recording_key(subject: str, recording_id: str) -> Key:
    """Return the key of a recording's record, which is in its owner's partition."""
    return f"person#{subject}", f"recording#{recording_id}"


def keys_of_standing(caller: Caller | None, conversation_id: str | None) -> list[Key]:
    """Return the keys of all that a decision about a caller and a conversation needs."""
    keys = [] if conversation_id is None else [record_key(conversation_id)]
    if isinstance(caller, Person):
        keys.append(profile_key(caller.subject))
        if caller.key is not None:
            keys.append(api_key_key(caller.key))
    return keys


def standing_of(
    person: Person | None, conversation_id: str | None, items: Mapping[Key, Item]
) -> Standing:
    """Return what `items`, which were read for `keys_of_standing`, say.

    Raises:
        Unreadable: an item is malformed.
    """
    found = items.get(record_key(conversation_id)) if conversation_id is not None else None
    key = items.get(api_key_key(person.key)) if person and person.key is not None else None
    return Standing(
        record=None if found is None else _read_record(found),
        is_blocked=person is not None and profile_key(person.subject) in items,
        key=None if key is None else _read_api_key(key),
    )


class AccessTable:
    """Reads and writes the table."""

    def __init__(self, table: str, dynamodb: DynamoDBClient) -> None:
        self._table = table
        self._dynamodb = dynamodb

    # --- reading ------------------------------------------------------------------------

    def read(self, keys: Iterable[Key], *, consistent: bool = True) -> dict[Key, Item]:
        """Return the items that exist of these keys, as they are now.

        Unless `consistent`, they may be a second old, for half the price.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[Key, Item] = {}
        for at in range(0, len(wanted), MOST_KEYS):
            left = [_key(key) for key in wanted[at : at + MOST_KEYS]]
            for _ in range(_MOST_ROUNDS):
                if not left:
                    break
                answer = self._dynamodb.batch_get_item(
                    RequestItems={self._table: {"Keys": left, "ConsistentRead": consistent}}
                )
                for item in answer["Responses"].get(self._table, ()):
                    found[item[PARTITION_KEY]["S"], item[SORT_KEY]["S"]] = item
                rest = answer.get("UnprocessedKeys", {}).get(self._table)
                left = list(rest["Keys"]) if rest else []
            if left:
                raise Unreadable("the table is too busy to be read")
        return found

    def load(self, person: Person | None, conversation_id: str | None = None) -> Standing:
        """Return what is stored about a person and a conversation.

        Raises:
            Unreadable: an item is malformed.
        """
        keys = keys_of_standing(person, conversation_id)
        return standing_of(person, conversation_id, self.read(keys) if keys else {})

    def find_key(self, key_id: str) -> ApiKey | None:
        """Return an API key; None if there is none with this id."""
        item = self.read([api_key_key(key_id)]).get(api_key_key(key_id))
        return None if item is None else _read_api_key(item)

    # --- conversations ------------------------------------------------------------------

    def create(self, record: ConversationRecord) -> bool:
        """Store a new conversation; return whether its id was free."""
        try:
            self._transact(
                self._put(_record_item(record), "attribute_not_exists(#p)"),
                *self._list_for(record, [record.owner]),
            )
        except RecordChanged:
            return False
        return True

    def replace(self, old: ConversationRecord, new: ConversationRecord) -> ConversationRecord:
        """Replace a conversation's record by another one; return that with its version.

        People who get a role find the conversation among theirs, those who lose it do not.

        Raises:
            RecordChanged: it is not `old` any more.
        """
        new = new.model_copy(update={"version": old.version + 1})
        before, after = {old.owner, *old.people}, {new.owner, *new.people}
        self._transact(
            self._replace(_record_item(new), old.version),
            *self._list_for(new, sorted(after - before)),
            *(
                {"Delete": {"TableName": self._table, "Key": _key(_listing_key(subject, old))}}
                for subject in sorted(before - after)
            ),
        )
        return new

    def list_conversations(self, subject: str, *, limit: int, cursor: str | None = None) -> Page:
        """Return the conversations in which a person has a role, newest first.

        Args:
            subject: the person.
            limit: the most that are returned.
            cursor: of the page before.
        """
        sorts, is_cut = self._list(subject, "conversation#", limit, cursor)
        ids = tuple(sort.partition("#")[2] for sort in sorts)
        return Page(ids, sorts[-1] if is_cut and sorts else None)

    def read_records(self, ids: Sequence[str]) -> list[ConversationRecord]:
        """Return the records of these conversations, in order; those that are gone are left out."""
        items = self.read(record_key(id_) for id_ in ids)
        return [_read_record(items[key]) for key in map(record_key, ids) if key in items]

    # --- people and keys ----------------------------------------------------------------

    def set_blocked(self, subject: str, *, is_blocked: bool) -> None:
        """Block a person, or let them in again."""
        key = _key(profile_key(subject))
        if is_blocked:
            self._dynamodb.put_item(TableName=self._table, Item=key)
        else:
            self._dynamodb.delete_item(TableName=self._table, Key=key)

    def is_blocked(self, subject: str) -> bool:
        """Return whether an administrator has blocked a person."""
        return profile_key(subject) in self.read([profile_key(subject)])

    def add_key(self, key: ApiKey) -> None:
        """Store a new API key."""
        expiry = _expiry(key.expires_at)
        self._transact(
            self._put(
                {**_key(api_key_key(key.key_id)), "document": {"S": _json(key)}, **expiry},
                "attribute_not_exists(#p)",
            ),
            {
                "Put": {
                    "TableName": self._table,
                    "Item": {**_key((f"person#{key.subject}", f"key#{key.key_id}")), **expiry},
                }
            },
        )

    def list_keys(self, subject: str, *, limit: int) -> list[ApiKey]:
        """Return a person's API keys, at most `limit`."""
        ids, _ = self._list(subject, "key#", limit)
        return [_read_api_key(item) for item in self.read(map(api_key_key, ids)).values()]

    def remove_key(self, key: ApiKey) -> None:
        """Revoke an API key."""
        self._transact(
            *(
                {"Delete": {"TableName": self._table, "Key": _key(one)}}
                for one in (
                    api_key_key(key.key_id),
                    (f"person#{key.subject}", f"key#{key.key_id}"),
                )
            )
        )

    # --- recordings ---------------------------------------------------------------------

    def add_recording(self, record: RecordingRecord, ends_at: datetime) -> None:
        """Store a new recording whose upload may be completed until `ends_at`."""
        expiry = _expiry(ends_at)
        self._transact(
            self._put({**_recording_item(record), **expiry}, "attribute_not_exists(#p)"),
            self._put_plainly({**_key(_recordings_key(record)), **expiry}),
            self._put_plainly({**_key(_upload_key(record)), **expiry}),
        )

    def find_recording(self, subject: str, recording_id: str) -> RecordingRecord | None:
        """Return a recording of a person; None if the person has none with this id.

        Raises:
            Unreadable: its record is malformed.
        """
        found = self.read_recordings(subject, [recording_id])
        return found[0] if found else None

    def read_recordings(self, subject: str, ids: Sequence[str]) -> list[RecordingRecord]:
        """Return a person's recordings, in order; those that are gone are left out.

        Raises:
            Unreadable: a record is malformed, or names another person.
        """
        keys = [recording_key(subject, id_) for id_ in ids]
        items = self.read(keys)
        return [_read_recording(items[key], key) for key in keys if key in items]

    def list_recordings(
        self, subject: str, *, limit: int, cursor: str | None = None
    ) -> RecordingIds:
        """Return the ids of a person's recordings, newest first; `cursor` of the page before."""
        sorts, is_cut = self._list(subject, "recordings#", limit, cursor)
        ids = tuple(sort.partition("#")[2] for sort in sorts)
        return RecordingIds(ids, sorts[-1] if is_cut and sorts else None)

    def count_open_uploads(self, subject: str, now: datetime, *, limit: int) -> int:
        """Return how many uploads of a person are open, and not over; at most `limit` are read."""
        items, _ = self._query(subject, "upload#", limit)
        return sum(float(item[EXPIRY]["N"]) > (now + _KEPT).timestamp() for item in items)

    def replace_recording(
        self, old: RecordingRecord, new: RecordingRecord, ends_at: datetime | None
    ) -> RecordingRecord:
        """Replace a recording's record, whose upload is not open any more; return its new version.

        Args:
            old: as it was read.
            new: what it becomes.
            ends_at: when it is forgotten; None for never.

        Raises:
            RecordChanged: it is not `old` any more.
        """
        new = new.model_copy(update={"version": old.version + 1})
        expiry = {} if ends_at is None else _expiry(ends_at)
        self._transact(
            self._replace({**_recording_item(new), **expiry}, old.version),
            self._put_plainly({**_key(_recordings_key(new)), **expiry}),
            {"Delete": {"TableName": self._table, "Key": _key(_upload_key(new))}},
        )
        return new

    # --- tickets ------------------------------------------------------------------------

    def use_ticket(self, ticket: Ticket, attempt: str) -> bool:
        """Note that a ticket is used; return whether this attempt is the one that uses it.

        Args:
            ticket: of a speaker.
            attempt: a random text for this socket. A call that is repeated because its answer was
                lost finds its own attempt.
        """
        ends_at = datetime.fromtimestamp(ticket.expires_at).astimezone()
        key = _key((f"ticket#{ticket.ticket_id}", "used"))
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={**key, "attempt": {"S": attempt}, **_expiry(ends_at)},
                ConditionExpression="attribute_not_exists(#p) OR attempt = :attempt",
                ExpressionAttributeNames={"#p": PARTITION_KEY},
                ExpressionAttributeValues={":attempt": {"S": attempt}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def publish_key(self, key_id: str, key: Ed25519PublicKey, ends_at: datetime) -> None:
        """Store the public part of a key for tickets, until no ticket of it is valid any more."""
        item = {**_key(("ticketKeys", key_id)), "public": {"B": key.public_bytes_raw()}}
        self._dynamodb.put_item(TableName=self._table, Item={**item, **_expiry(ends_at)})

    def list_public_keys(self, now: datetime) -> dict[str, Ed25519PublicKey]:
        """Return the public parts of all keys for tickets that are not over, by their id."""
        answer = self._dynamodb.query(
            TableName=self._table,
            KeyConditionExpression="#p = :keys",
            ExpressionAttributeNames={"#p": PARTITION_KEY},
            ExpressionAttributeValues={":keys": {"S": "ticketKeys"}},
            ConsistentRead=True,
        )
        return {
            item[SORT_KEY]["S"]: Ed25519PublicKey.from_public_bytes(bytes(item["public"]["B"]))
            for item in answer["Items"]
            if float(item[EXPIRY]["N"]) > now.timestamp()
        }

    # --- parts --------------------------------------------------------------------------

    def _list(
        self, subject: str, prefix: str, limit: int, cursor: str | None = None
    ) -> tuple[list[str], bool]:
        """Return a person's sort keys without prefix, newest first, and whether there are more."""
        items, is_cut = self._query(subject, prefix, limit, cursor)
        return [item[SORT_KEY]["S"].removeprefix(prefix) for item in items], is_cut

    def _query(
        self, subject: str, prefix: str, limit: int, cursor: str | None = None
    ) -> tuple[list[Item], bool]:
        """Return a person's items whose sort key has a prefix, the last one first; see `_list`."""
        start: dict[str, Any] = {}
        if cursor:
            start["ExclusiveStartKey"] = _key((f"person#{subject}", f"{prefix}{cursor}"))
        answer = self._dynamodb.query(
            TableName=self._table,
            KeyConditionExpression="#p = :person AND begins_with(#s, :prefix)",
            ExpressionAttributeNames={"#p": PARTITION_KEY, "#s": SORT_KEY},
            ExpressionAttributeValues={
                ":person": {"S": f"person#{subject}"},
                ":prefix": {"S": prefix},
            },
            ConsistentRead=True,
            ScanIndexForward=False,
            Limit=limit,
            **start,
        )
        return list(answer["Items"]), "LastEvaluatedKey" in answer

    def _list_for(
        self, record: ConversationRecord, people: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        for subject in people:
            yield {"Put": {"TableName": self._table, "Item": _key(_listing_key(subject, record))}}

    def _put(self, item: Item, condition: str) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table,
                "Item": dict(item),
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {"#p": PARTITION_KEY},
            }
        }

    def _put_plainly(self, item: Item) -> dict[str, Any]:
        return {"Put": {"TableName": self._table, "Item": dict(item)}}

    def _replace(self, item: Item, version: int) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table,
                "Item": dict(item),
                "ConditionExpression": "#v = :old",
                "ExpressionAttributeNames": {"#v": "version"},
                "ExpressionAttributeValues": {":old": {"N": str(version)}},
            }
        }

    def _transact(self, *writes: Any) -> None:
        try:
            self._dynamodb.transact_write_items(TransactItems=list(writes))
        except ClientError as error:
            reasons = error.response.get("CancellationReasons", ())
            if not _CHANGED.isdisjoint(reason.get("Code") for reason in reasons):
                raise RecordChanged from None
            raise


def _key(key: Key) -> dict[str, Any]:
    return {PARTITION_KEY: {"S": key[0]}, SORT_KEY: {"S": key[1]}}


def _listing_key(subject: str, record: ConversationRecord) -> Key:
    time = iso_milliseconds(record.created_at)
    return f"person#{subject}", f"conversation#{time}#{record.conversation_id}"


def _record_item(record: ConversationRecord) -> dict[str, Any]:
    return {
        **_key(record_key(record.conversation_id)),
        "version": {"N": str(record.version)},
        "document": {"S": _json(record)},
    }


def _recordings_key(record: RecordingRecord) -> Key:
    time = iso_milliseconds(record.created_at)
    return f"person#{record.owner}", f"recordings#{time}#{record.recording_id}"


def _upload_key(record: RecordingRecord) -> Key:
    return f"person#{record.owner}", f"upload#{record.recording_id}"


def _recording_item(record: RecordingRecord) -> dict[str, Any]:
    return {
        **_key(recording_key(record.owner, record.recording_id)),
        "version": {"N": str(record.version)},
        "document": {"S": _json(record)},
    }


def _json(model: ConversationRecord | ApiKey | RecordingRecord) -> str:
    return model.model_dump_json(by_alias=True, exclude_none=True)


def _expiry(ends_at: datetime) -> dict[str, Any]:
    return {EXPIRY: {"N": str(int((ends_at + _KEPT).timestamp()))}}


def _read_record(item: Item) -> ConversationRecord:
    try:
        return ConversationRecord.model_validate_json(item["document"]["S"])
    except (KeyError, ValidationError):
        raise Unreadable("a record of the table is malformed") from None


def _read_api_key(item: Item) -> ApiKey:
    try:
        return ApiKey.model_validate_json(item["document"]["S"])
    except (KeyError, ValidationError):
        raise Unreadable("an API key of the table is malformed") from None


def _read_recording(item: Item, key: Key) -> RecordingRecord:
    try:
        record = RecordingRecord.model_validate_json(item["document"]["S"])
    except (KeyError, ValidationError):
        raise Unreadable("a recording of the table is malformed") from None
    if recording_key(record.owner, record.recording_id) != key:
        raise Unreadable("a recording of the table is another one's")
    return record
