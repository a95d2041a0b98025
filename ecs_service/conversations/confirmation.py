"""The second half of the promise behind a final: the table has it.

A queue can lose what it has accepted: a message becomes a dead letter, or the queue itself goes
down with what it held in memory. So a final stays in the journal until it was seen in the table
twice, `pause` seconds apart, and is sent again when it was not found. The second look is for a
table that can forget its last seconds when it is killed.

Only finals that are old enough are looked for, up to a hundred in a call. While finals are
missing, at most ten in `EVERY_SECONDS` are sent again, each after a pause that grows fourfold, so
that this cannot keep a processor from catching up. What is not in the table after
`MOST_SENDINGS`, an hour and a half, or is older than what a queue keeps, is set aside.

A table that cannot be read changes nothing about sending. One that may not be read is not waited
for: the queue's word is enough then.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from time import monotonic, time
from typing import Protocol

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from ecs_service import telemetry
from ecs_service.conversations.journal import Entry, Journal, Sent
from ecs_service.conversations.outbox import BATCH
from transcripts.conversations import MOST_KEYS, Key, key_of
from transcripts.models import Utterance

#: How often to look for finals that are due.
EVERY_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
#: With pauses of 15 s, 1, 4, 16 and 64 minutes after them.
MOST_SENDINGS = 5
#: The queue keeps a message for a fortnight; a final that is older is not sent again.
OLDEST_SECONDS = 14 * 86_400.0

log = structlog.get_logger(__name__)


class Table(Protocol):
    """Where finals end. Blocking; called in a thread."""

    def has(self, keys: Collection[Key]) -> Mapping[Key, bool]:
        """Return which items are there; those that could not be looked for are left out."""


class Verdict(Enum):
    """What becomes of a final that was looked for."""

    CONFIRMED = auto()
    SEEN = auto()
    MISSING = auto()
    GIVEN_UP = auto()


def judge(entry: Sent, *, found: bool | None, now: float) -> Verdict:
    """Decide about a message.

    Args:
        entry: what the journal knows of it.
        found: whether the table has it; None if it is no utterance, so that nobody can know.
        now: seconds since 1970.
    """
    if found:
        return Verdict.CONFIRMED if entry.seen else Verdict.SEEN
    too_old = now - entry.added > OLDEST_SECONDS
    if found is None or too_old or entry.sendings >= MOST_SENDINGS:
        return Verdict.GIVEN_UP
    return Verdict.MISSING


class Confirmation:
    """Looks whether the table has what the queue took. `run` is its background task."""

    def __init__(
        self,
        journal: Journal,
        table: Table,
        send: Callable[[Sequence[Entry]], Awaitable[bool]],
        *,
        pause: float,
    ) -> None:
        """Look into `table`, twice and `pause` seconds apart.

        `send` sends the first of some entries and returns whether the queue took any.
        """
        self._journal = journal
        self._table = table
        self._send = send
        self._pause = pause
        # Of its own: a table that hangs may not keep finals from the queue.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="confirmation")
        self._may_read = True

    async def run(self) -> None:
        """Look until cancelled."""
        failures = 0
        while True:
            try:
                answered = await self._confirm_all()
            except sqlite3.Error as error:
                log.error("journal_failed", error=str(error))  # noqa: TRY400 - no stack needed
                answered = False
            failures = 0 if answered else failures + 1
            longer = 2.0 ** min(failures, 10)
            await asyncio.sleep(min(EVERY_SECONDS * longer, LONGEST_PAUSE_SECONDS))

    async def _confirm_all(self) -> bool:
        """Look for all that is due, until some are missing; return whether there were answers."""
        while entries := self._journal.due(monotonic(), MOST_KEYS):
            missing = await self.confirm(entries)
            if missing is None:
                return False
            if missing:
                break
        return True

    async def confirm(self, entries: Sequence[Sent]) -> int | None:
        """Look for up to `MOST_KEYS` finals once and do what follows.

        Returns how many the table did not show, or None if table or queue did not answer.

        Raises:
            sqlite3.Error: the journal cannot be written.
        """
        answers = await self._look(entries)
        if answers is None:
            return None
        by_verdict: dict[Verdict, list[Sent]] = {verdict: [] for verdict in Verdict}
        for entry in entries:
            if entry.id in answers:
                verdict = judge(entry, found=answers[entry.id], now=time())
                by_verdict[verdict].append(entry)
        due = monotonic() + self._pause
        self._journal.remove(_ids(by_verdict[Verdict.CONFIRMED]))
        self._journal.look_again(_ids(by_verdict[Verdict.SEEN]), due, seen=True)
        for entry in by_verdict[Verdict.GIVEN_UP]:
            self._give_up(entry)
        missing = by_verdict[Verdict.MISSING]
        if missing:
            if not await self._send(missing[:BATCH]):
                return None
            telemetry.finals_sent_again.inc(len(missing[:BATCH]))
            log.warning("finals_sent_again", missing=len(missing))
            self._journal.look_again(_ids(missing[BATCH:]), due, seen=False)
        return len(missing) + len(entries) - len(answers)

    async def _look(self, entries: Sequence[Sent]) -> dict[int, bool | None] | None:
        """Return whether the table has them, by id; of some it may not say, or of none."""
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._thread, _find, self._table, entries
            )
        except (BotoCoreError, ClientError) as error:
            if _is_denied(error):
                if self._may_read:
                    log.error("table_denied", advice="allow dynamodb:BatchGetItem")  # noqa: TRY400 - no stack needed
                self._may_read = False
                self._journal.forget_sent()
            else:
                log.warning("table_unreachable", error=type(error).__name__)
            return None
        self._may_read = True
        return answers

    def _give_up(self, entry: Sent) -> None:
        telemetry.finals_not_stored.inc()
        log.error("final_not_stored", entry=entry.id, sendings=entry.sendings)
        self._journal.set_aside(entry.id, "NotStored")


def _find(table: Table, entries: Sequence[Sent]) -> dict[int, bool | None]:
    """Return whether the table has them, by id; None for what is no utterance. Blocks."""
    keys: dict[int, Key] = {}
    answers: dict[int, bool | None] = {}
    for entry in entries:
        try:
            keys[entry.id] = key_of(Utterance.model_validate_json(entry.body))
        except ValidationError:
            answers[entry.id] = None
    found = table.has(keys.values()) if keys else {}
    return answers | {number: found[key] for number, key in keys.items() if key in found}


def _ids(entries: Iterable[Entry]) -> list[int]:
    return [entry.id for entry in entries]


def _is_denied(error: Exception) -> bool:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return code == "AccessDeniedException"
