"""A ledger in memory that can be slow, lose answers or be away, and what stands around a stream."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from hmac import compare_digest
from typing import Any

from botocore.exceptions import EndpointConnectionError

from transcripts.models import Utterance
from transcripts.streams.entry import LedgerEntry, StreamState
from transcripts.streams.store import StreamEnded, Superseded, UnknownStream


@dataclass
class MemoryLedger:
    """`StreamTable` in memory, with the same conditions."""

    entries: dict[str, LedgerEntry] = field(default_factory=dict)
    due_at: dict[str, datetime | None] = field(default_factory=dict)
    #: Set while it answers; without it calls fail at once.
    is_away: bool = False
    #: How many of the next writes are done, but not answered.
    lost_answers: int = 0
    #: While it is held, no write begins.
    gate: threading.Lock = field(default_factory=threading.Lock)
    writes: int = 0

    def create(self, entry: LedgerEntry, *, due_at: datetime) -> None:
        self._answer()
        known = self.entries.get(entry.terms.stream_id)
        if known is not None and known.terms.token_hash != entry.terms.token_hash:
            raise Superseded("there is another stream of this id")
        if known is not None:
            return
        self.entries[entry.terms.stream_id] = entry
        self.due_at[entry.terms.stream_id] = due_at

    def write(self, entry: LedgerEntry, *, due_at: datetime | None) -> LedgerEntry:
        with self.gate:
            self._answer()
            identity = entry.terms.stream_id
            stored = self.entries[identity]
            after = replace(entry, version=entry.version + 1)
            if stored != after:
                if (stored.epoch, stored.version) != (entry.epoch, entry.version):
                    raise Superseded("somebody else wrote")
                self.entries[identity] = after
                self.due_at[identity] = due_at
                self.writes += 1
            self._answer_or_lose()
            return after

    def take_over(
        self, stream_id: str, token_hash: str, attempt: int, *, due_at: datetime
    ) -> LedgerEntry:
        self._answer()
        stored = self.entries.get(stream_id)
        if stored is None or not compare_digest(stored.terms.token_hash, token_hash):
            raise UnknownStream("no such stream")
        if stored.state is StreamState.ENDED:
            raise StreamEnded(stored)
        if attempt <= stored.progress.attempt:
            raise Superseded("a newer connection was served")
        return self._take(stored, due_at, attempt)

    def due(self, shard: int, now: datetime, limit: int) -> list[str]:
        self._answer()
        del shard
        found = [key for key, due in self.due_at.items() if due is not None and due <= now]
        return found[:limit]

    def take_due(self, stream_id: str, now: datetime, *, due_at: datetime) -> LedgerEntry | None:
        self._answer()
        due = self.due_at.get(stream_id)
        if due is None or due > now:
            return None
        return self._take(self.entries[stream_id], due_at)

    def _take(
        self, stored: LedgerEntry, due_at: datetime, attempt: int | None = None
    ) -> LedgerEntry:
        progress = stored.progress
        if attempt is not None:
            progress = replace(progress, attempt=attempt)
        taken = replace(
            stored, epoch=stored.epoch + 1, version=stored.version + 1, progress=progress
        )
        if attempt is not None:
            taken = replace(taken, state=StreamState.OPEN)
        self.entries[stored.terms.stream_id] = taken
        self.due_at[stored.terms.stream_id] = due_at
        return taken

    def _answer(self) -> None:
        if self.is_away:
            raise EndpointConnectionError(endpoint_url="http://ledger")

    def _answer_or_lose(self) -> None:
        if self.lost_answers:
            self.lost_answers -= 1
            raise EndpointConnectionError(endpoint_url="http://ledger")


@dataclass
class MemoryOutbox:
    """Keeps finals; the queue accepts them at once, or when the test says so."""

    accepts: bool = True
    finals: list[Utterance] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def add(self, utterance: Utterance, on_accepted: Callable[[], None] | None = None) -> None:
        self.finals.append(utterance)
        if on_accepted is not None:
            self.waiting.append(on_accepted)
            if self.accepts:
                self.accept_all()

    def accept_all(self) -> None:
        waiting, self.waiting = self.waiting, []
        for on_accepted in waiting:
            on_accepted()


@dataclass
class MemoryTable:
    """The table of utterances by their keys."""

    stored: dict[str, Utterance] = field(default_factory=dict)

    def put(self, utterance: Utterance) -> bool:
        return self.stored.setdefault(utterance.sort_key, utterance) is utterance


class Inline(Executor):
    """Runs calls at once, so that no thread is needed."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future
