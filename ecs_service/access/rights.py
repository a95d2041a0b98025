"""Decides from the table whether a caller may use a socket, with few readings.

What was read is kept by item: the conversation's record, a person's block, an API key. Readings are
collected: while one is on its way, all sockets that open gather what the next one reads. So 2,000
readers who come back at once cause two or three calls.

Whoever is allowed by what was read within 20 seconds is allowed. A refusal is decided from a new
reading only: the role or the link may be younger than what is kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Final, TypeAlias

import structlog

from access.callers import Caller, Guest, Person
from access.decisions import Action, Allowed, Decision, Reason, Refused, Standing, may
from access.records import ApiKey, ConversationRecord
from access.store import (
    MOST_KEYS,
    Item,
    Key,
    Unreadable,
    api_key_key,
    keys_of_standing,
    profile_key,
    record_key,
    standing_of,
)
from ecs_service.access.table import NoAnswer, TableCalls

#: What was read within this time allows a socket without a new reading, seconds.
FRESH_SECONDS: Final = 20.0
#: What was read within this time allows a socket while the table does not answer, seconds.
KEPT_SECONDS: Final = 300.0
#: The most items that are kept, unless there are more sockets. Most take 1.5 kB, the largest
#: conversation's record 100 kB.
MOST_ITEMS: Final = 16_384
#: The most characters of the items that are kept. In memory an item takes three bytes for each.
MOST_CHARACTERS: Final = 2**24
#: What was read within this time is kept beyond `MOST_CHARACTERS`, seconds: open sockets may depend
#: on it, whose items are read every 20 seconds.
IN_USE_SECONDS: Final = 60.0
#: After a call that failed no socket waits for another one, seconds. So an outage delays nobody who
#: is allowed by what is kept.
REST_SECONDS: Final = 2.0
#: A guest's record names the owner, whose profile is needed then; both may change meanwhile.
_MOST_ROUNDS: Final = 3

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Right:
    """What a socket needs: that `caller` may do `action` in a conversation.

    `language` is that of the translations it reads, if it reads any.
    """

    caller: Caller
    action: Action
    conversation_id: str
    language: str | None = None


#: What an item says: a record, a key, or that somebody is blocked. None: there is no item.
_Value: TypeAlias = ConversationRecord | ApiKey | bool | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """An item as it was read; `is_malformed` ones refuse whom they concern, and nobody else."""

    read_at: float
    value: _Value = None
    is_malformed: bool = False
    characters: int = 0


class Rights:
    """Reads items, keeps them, and decides by them."""

    def __init__(
        self,
        calls: TableCalls,
        *,
        most_items: int = MOST_ITEMS,
        most_characters: int = MOST_CHARACTERS,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._calls = calls
        self._most_items = most_items
        self._most_characters = most_characters
        self._clock = clock
        self._now = now
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()  # the longest unread first
        self._characters = 0
        self._failed_at = -REST_SECONDS
        self._one_at_a_time = asyncio.Lock()
        #: What the reading that has not begun yet will read, and its task.
        self._wanted: set[Key] = set()
        self._next: asyncio.Task[None] | None = None

    async def check(self, right: Right) -> Decision:
        """Decide whether a socket may open.

        Raises:
            NoAnswer: that cannot be known at present.
        """
        began = self._clock()
        await self._load(right, newer_than=began - FRESH_SECONDS)
        decision = self.decide(right, newer_than=began - KEPT_SECONDS)
        if isinstance(decision, Refused):
            await self._load(right, newer_than=began)
            decision = self.decide(right, newer_than=began)
        return decision

    def decide(self, right: Right, *, newer_than: float) -> Decision:
        """Decide by what was read at `newer_than` or later.

        Raises:
            NoAnswer: too little was.
        """
        standing = self._standing(right, newer_than)
        decision = may(right.caller, right.action, standing, self._now())
        if isinstance(decision, Allowed) and not decision.admits(right.language):
            return Refused(Reason.LINK_INVALID)
        return decision

    def keys_of(self, right: Right) -> set[Key]:
        """Return the keys of the items that a decision needs, as far as they are known."""
        keys = set(keys_of_standing(right.caller, right.conversation_id))
        owner = self._owner_for_guest(right)
        if owner is not None:
            keys.add(profile_key(owner))
        return keys

    async def refresh(self, keys: Collection[Key], *, consistent: bool) -> bool:
        """Read items again, those first that are the longest unread; return whether all answered.

        After the first call that fails no other is made.
        """
        ages = {key: kept.read_at for key in keys if (kept := self._kept.get(key))}
        in_order = sorted(keys, key=lambda key: ages.get(key, 0.0))
        for at in range(0, len(in_order), MOST_KEYS):
            part = in_order[at : at + MOST_KEYS]
            began = self._clock()
            try:
                items = await self._calls.read(part, consistent=consistent)
            except NoAnswer:
                self._failed_at = self._clock()
                return False
            self._keep(part, items, began)
        return True

    # --- private ----------------------------------------------------------------------------

    async def _load(self, right: Right, *, newer_than: float) -> None:
        """Read what a decision needs and was not read since `newer_than`, if the table answers."""
        before: set[Key] | None = None
        for _ in range(_MOST_ROUNDS):
            missing = {key for key in self.keys_of(right) if self._is_older(key, newer_than)}
            if not missing or missing == before:
                return
            if self._clock() < self._failed_at + REST_SECONDS:
                return
            before = missing
            self._wanted |= missing
            if self._next is None:
                self._next = asyncio.create_task(self._read_wanted())
            await asyncio.shield(self._next)

    async def _read_wanted(self) -> None:
        async with self._one_at_a_time:
            keys, self._wanted, self._next = self._wanted, set(), None
            await self.refresh(keys, consistent=True)

    def _is_older(self, key: Key, moment: float) -> bool:
        kept = self._kept.get(key)
        return kept is None or kept.read_at < moment

    def _keep(self, keys: Iterable[Key], items: Mapping[Key, Item], read_at: float) -> None:
        for key in keys:
            self._forget(key)
            item = items.get(key)
            try:
                kept = _Kept(read_at) if item is None else _parse(key, item, read_at)
            except Unreadable:
                log.error("access_item_malformed", kind=key[1])  # noqa: TRY400 - it quotes items
                kept = _Kept(read_at, is_malformed=True)
            self._kept[key] = kept
            self._characters += kept.characters
        self._forget_oldest()

    def _forget(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._characters -= kept.characters

    def _forget_oldest(self) -> None:
        """Forget what decides nothing any more, and what is too much."""
        now = self._clock()
        while self._kept:
            key, kept = next(iter(self._kept.items()))
            age = now - kept.read_at
            is_heavy = self._characters > self._most_characters and age > IN_USE_SECONDS
            if age <= KEPT_SECONDS and not is_heavy and len(self._kept) <= self._most_items:
                return
            self._forget(key)

    def _standing(self, right: Right, newer_than: float) -> Standing:
        for needed in self.keys_of(right):
            if self._is_older(needed, newer_than) or self._kept[needed].is_malformed:
                raise NoAnswer
        record = self._value(record_key(right.conversation_id))
        person = right.caller if isinstance(right.caller, Person) else None
        key = self._value(api_key_key(person.key)) if person and person.key is not None else None
        owner = self._owner_for_guest(right)
        return Standing(
            record=record if isinstance(record, ConversationRecord) else None,
            is_blocked=person is not None and bool(self._value(profile_key(person.subject))),
            is_owner_blocked=owner is not None and bool(self._value(profile_key(owner))),
            key=key if isinstance(key, ApiKey) else None,
        )

    def _owner_for_guest(self, right: Right) -> str | None:
        """Return the owner of a guest's conversation, whose block ends the links, if known."""
        if not isinstance(right.caller, Guest):
            return None
        record = self._value(record_key(right.conversation_id))
        return record.owner if isinstance(record, ConversationRecord) else None

    def _value(self, key: Key) -> _Value:
        kept = self._kept.get(key)
        return None if kept is None else kept.value


def _parse(key: Key, item: Item, read_at: float) -> _Kept:
    """Return an item that was read.

    Raises:
        Unreadable: it is malformed.
    """
    partition, sort = key
    identifier = partition.partition("#")[2]
    value: _Value = True  # the profile of a person who is blocked
    if sort == record_key(identifier)[1]:
        value = standing_of(None, identifier, {key: item}).record
    elif sort == api_key_key(identifier)[1]:
        value = standing_of(Person("anybody", key=identifier), None, {key: item}).key
    characters = len(item["document"]["S"]) if "document" in item else 0
    return _Kept(read_at, value, characters=characters)
