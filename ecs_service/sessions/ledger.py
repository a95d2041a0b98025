"""Calls the ledger in threads, so that the event loop never waits for it.

LedgerUnavailable    the ledger did not answer, or not in a way that can be read

What the ledger itself refuses are the errors of `transcripts.streams.store`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from ecs_service import telemetry
from transcripts.models import Utterance
from transcripts.streams.entry import LedgerEntry
from transcripts.streams.items import UnreadableEntry

#: The longest that a caller waits for a call, seconds.
CALL_SECONDS: Final = 6.0
#: Calls at a time: each takes 5 to 10 ms, and a thousand speakers end some 300 utterances a second.
THREADS: Final = 8
#: The sweep takes over streams whose task has not written for so long.
DEAD: Final = timedelta(seconds=90)

_T = TypeVar("_T")

log = structlog.get_logger(__name__)


class LedgerUnavailable(Exception):
    """The ledger did not answer in time, or its answer cannot be read."""


class StreamStore(Protocol):
    """`transcripts.streams.store.StreamTable`, as far as the service calls it. Blocking."""

    def create(self, entry: LedgerEntry, *, due_at: datetime) -> None:
        """Store the entry of a new stream."""

    def write(self, entry: LedgerEntry, *, due_at: datetime | None) -> LedgerEntry:
        """Store progress and state, and return the entry with its next version."""

    def take_over(
        self, stream_id: str, token_hash: str, attempt: int, *, due_at: datetime
    ) -> LedgerEntry:
        """Raise the epoch for a client that resumes, and return the entry."""

    def due(self, shard: int, now: datetime, limit: int) -> list[str]:
        """Return ids of streams that the sweep has to look at."""

    def take_due(self, stream_id: str, now: datetime, *, due_at: datetime) -> LedgerEntry | None:
        """Raise the epoch of a stream that is due, and return its entry; None if it is not."""


class UtteranceStore(Protocol):
    """The table of utterances, as far as the ledger's writers use it. Blocking."""

    def put(self, utterance: Utterance) -> bool:
        """Store an utterance once."""


class Ledger:
    """Calls a store of streams; each method raises `LedgerUnavailable` if that fails."""

    def __init__(
        self,
        store: StreamStore,
        utterances: UtteranceStore,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        threads: Executor | None = None,
    ) -> None:
        self._store = store
        self._utterances = utterances
        self.now = now
        self._threads = threads or ThreadPoolExecutor(THREADS, thread_name_prefix="ledger")

    def close(self) -> None:
        """Start no further call, and wait for none."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def create(self, entry: LedgerEntry) -> None:
        """Store the entry of a new stream."""
        due = self.now() + DEAD
        await self._call("create", partial(self._store.create, entry, due_at=due))

    async def write(self, entry: LedgerEntry, due_at: datetime | None) -> LedgerEntry:
        """Store progress and state; return the entry with its next version.

        `due_at` is when the sweep looks at the stream; None for never.

        Raises:
            Superseded: another task has taken the stream over.
        """
        return await self._call("write", partial(self._store.write, entry, due_at=due_at))

    async def take_over(self, stream_id: str, token_hash: str, attempt: int) -> LedgerEntry:
        """Take a stream over for a client that resumes.

        Raises:
            UnknownStream: there is none of this id, or the token is another one.
            Superseded: a newer connection of the client was served.
            StreamEnded: there is nothing to resume; it has the entry.
        """
        due = self.now() + DEAD
        call = partial(self._store.take_over, stream_id, token_hash, attempt, due_at=due)
        return await self._call("take_over", call)

    async def due(self, shard: int, limit: int) -> list[str]:
        """Return up to `limit` ids of streams of a shard that the sweep has to look at."""
        return await self._call("due", partial(self._store.due, shard, self.now(), limit))

    async def take_due(self, stream_id: str) -> LedgerEntry | None:
        """Take over a stream that is due; return None if somebody else was quicker."""
        now = self.now()
        call = partial(self._store.take_due, stream_id, now, due_at=now + DEAD)
        return await self._call("take_due", call)

    async def store(self, utterances: tuple[Utterance, ...]) -> None:
        """Store utterances in their table, without the queue."""

        def put_all() -> None:
            for utterance in utterances:
                self._utterances.put(utterance)

        await self._call("store", put_all)

    async def _call(self, kind: str, function: Callable[[], _T]) -> _T:
        telemetry.ledger_calls.labels(kind).inc()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except (BotoCoreError, ClientError, TimeoutError, UnreadableEntry) as error:
            log.warning("ledger_unavailable", call=kind, error=type(error).__name__)
            raise LedgerUnavailable from error
