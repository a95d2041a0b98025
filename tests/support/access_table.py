"""The table `access` in memory, as the service calls it, with switches for its faults."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ConnectTimeoutError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from access.callers import Caller
from access.decisions import Action
from access.records import ApiKey, ConversationRecord
from access.store import Item, Key, api_key_key, profile_key, record_key
from access.tickets import SigningKey, Ticket, issue_ticket, sign_ticket
from ecs_service.access.table import NoAnswer, TableCalls
from tests.support.access import CONVERSATION, signing_key

_T = TypeVar("_T")


@dataclass
class MemoryTable:
    """A `ecs_service.access.table.Table`.

    `calls` lists the kind of each call and how many items it read. `is_down` refuses all calls,
    `delay` makes them slow.
    """

    key: SigningKey = field(default_factory=signing_key)
    items: dict[Key, Item] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, int]] = field(default_factory=list)
    public_keys: dict[str, Ed25519PublicKey] = field(default_factory=dict)
    is_down: bool = False
    delay: float = 0.0
    #: Answers to `use_ticket` that are lost after the write.
    lost_answers: int = 0

    def __post_init__(self) -> None:
        self.public_keys.setdefault(self.key.id, self.key.key.public_key())
        self._lock = threading.Lock()

    # --- what the service calls -------------------------------------------------------------

    def read(self, keys: Iterable[Key], *, consistent: bool = True) -> dict[Key, Item]:
        del consistent
        keys = list(keys)
        self._answer("read", len(keys))
        return {key: self.items[key] for key in keys if key in self.items}

    def use_ticket(self, ticket: Ticket, attempt: str) -> bool:
        self._answer("use", 1)
        with self._lock:
            is_first = self.used.setdefault(ticket.ticket_id, attempt) == attempt
        if self.lost_answers:
            self.lost_answers -= 1
            raise ConnectTimeoutError(endpoint_url="table")
        return is_first

    def list_public_keys(self, now: datetime) -> dict[str, Ed25519PublicKey]:
        del now
        self._answer("keys", len(self.public_keys))
        return dict(self.public_keys)

    def _answer(self, kind: str, items: int) -> None:
        self.calls.append((kind, items))
        time.sleep(self.delay)
        if self.is_down:
            raise ConnectTimeoutError(endpoint_url="table")

    # --- what the API writes ----------------------------------------------------------------

    def put(self, record: ConversationRecord) -> None:
        self.items[record_key(record.conversation_id)] = _document(record)

    def put_key(self, key: ApiKey) -> None:
        self.items[api_key_key(key.key_id)] = _document(key)

    def block(self, subject: str) -> None:
        self.items[profile_key(subject)] = {}

    def count(self, kind: str) -> int:
        """Return the number of calls of a kind."""
        return sum(1 for called, _ in self.calls if called == kind)

    # --- what callers have ------------------------------------------------------------------

    def ticket(
        self,
        caller: Caller,
        action: Action = Action.READ,
        *,
        conversation: str = CONVERSATION,
        languages: frozenset[str] | None = None,
        age: timedelta = timedelta(),
        key: SigningKey | None = None,
    ) -> str:
        """Return a ticket that the API issued `age` ago."""
        assert action in {Action.READ, Action.SPEAK}
        issued: Any = action
        ticket = issue_ticket(
            caller,
            issued,
            conversation,
            languages=languages,
            ends_at=None,
            now=datetime.now(UTC) - age,
        )
        return sign_ticket(ticket, key or self.key)


class DirectCalls(TableCalls):
    """Calls a table in memory without threads; each call takes 10 ms of virtual time."""

    async def _call(self, kind: str, function: Callable[[], _T]) -> _T:
        del kind
        await asyncio.sleep(0.01)
        try:
            return function()
        except BotoCoreError as error:
            raise NoAnswer from error


def _document(model: ConversationRecord | ApiKey) -> dict[str, Any]:
    return {"document": {"S": model.model_dump_json(by_alias=True, exclude_none=True)}}
