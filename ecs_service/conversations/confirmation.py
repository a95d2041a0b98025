"""Checks that accepted finals have reached the table, and sends those again that have not.

A queue can lose what it has accepted: a message becomes a dead letter, or the queue crashes with
what it held in memory. So a final stays in the journal until two checks, `pause` seconds apart,
have found it in the table. It is sent again when a check does not find it. The second check is for
a table that can lose its last seconds when it is killed.

A check reads up to a hundred finals in one call. While finals are missing, at most ten every
`EVERY_SECONDS` are sent again, each after a pause that grows fourfold, so that a slow processor can
catch up. A final is set aside when it is not in the table after
`MOST_SENDINGS` (an hour and a half), or when it is older than a queue keeps messages.

A table that cannot be reached does not stop the outbox. Without the right to read the table the
queue's acceptance is enough.
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
from ecs_service.conversations.journal import Journal, JournalEntry, SentEntry
from ecs_service.conversations.outbox import BATCH
from foundation.backoff import backoff
from transcripts.conversations import MOST_KEYS, Key, key_of
from transcripts.models import Utterance

#: Between two rounds of checks, seconds.
EVERY_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
#: With pauses of 15 seconds, then 1, 4, 16 and 64 minutes.
MOST_SENDINGS = 5
#: The queue keeps a message for a fortnight; a final that is older is not sent again.
OLDEST_SECONDS = 14 * 86_400.0

log = structlog.get_logger(__name__)


class StoredKeys(Protocol):
    """The table, as far as confirmation reads it. Blocking; called in a thread."""

    def has(self, keys: Collection[Key]) -> Mapping[Key, bool]:
        """Return for each key whether the table has it; keys that were not read are left out."""


class CheckResult(Enum):
    """The result of a check for a final.

    `SEEN`: found once. `CONFIRMED`: found twice in a row. `MISSING`: to be sent again. `GIVEN_UP`:
    to be set aside.
    """

    CONFIRMED = auto()
    SEEN = auto()
    MISSING = auto()
    GIVEN_UP = auto()


def classify(entry: SentEntry, *, found: bool | None, now: float) -> CheckResult:
    """Return the result of a check for an entry.

    Args:
        entry: the journal's entry.
        found: whether the table has it; None if the entry is no utterance, so that it has no key.
        now: seconds since 1970.
    """
    if found:
        return CheckResult.CONFIRMED if entry.seen else CheckResult.SEEN
    too_old = now - entry.added > OLDEST_SECONDS
    if found is None or too_old or entry.sendings >= MOST_SENDINGS:
        return CheckResult.GIVEN_UP
    return CheckResult.MISSING


class Confirmation:
    """Checks whether the table has what the queue accepted. `run` is its background task."""

    def __init__(
        self,
        journal: Journal,
        table: StoredKeys,
        send: Callable[[Sequence[JournalEntry]], Awaitable[bool]],
        *,
        pause: float,
    ) -> None:
        """Make a confirmation that checks `table` twice, `pause` seconds apart.

        `send` sends as many of the first entries as fit one call, and returns whether the queue
        accepted any.
        """
        self._journal = journal
        self._table = table
        self._send = send
        self._pause = pause
        # A thread of its own: a table that hangs must not keep finals from the queue.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="confirmation")
        self._may_read = True

    async def run(self) -> None:
        """Check until cancelled."""
        failures = 0
        while True:
            try:
                answered = await self._confirm_all()
            except sqlite3.Error as error:
                log.error("journal_failed", error=str(error))  # noqa: TRY400 - no stack needed
                answered = False
            failures = 0 if answered else failures + 1
            await asyncio.sleep(
                backoff(failures + 1, first=EVERY_SECONDS, longest=LONGEST_PAUSE_SECONDS, jitter=0)
            )

    async def _confirm_all(self) -> bool:
        """Check all entries that are due, or until some are missing.

        Returns whether table and queue answered.
        """
        while entries := self._journal.due_for_check(monotonic(), MOST_KEYS):
            missing = await self.confirm(entries)
            if missing is None:
                return False
            if missing:
                break
        return True

    async def confirm(self, entries: Sequence[SentEntry]) -> int | None:
        """Check up to `MOST_KEYS` finals once, and do what follows for each.

        Returns how many were not found, or None if table or queue did not answer.

        Raises:
            sqlite3.Error: the journal cannot be written.
        """
        answers = await self._look_up(entries)
        if answers is None:
            return None
        by_result: dict[CheckResult, list[SentEntry]] = {result: [] for result in CheckResult}
        for entry in entries:
            if entry.id in answers:
                result = classify(entry, found=answers[entry.id], now=time())
                by_result[result].append(entry)
        due = monotonic() + self._pause
        self._journal.remove(_ids(by_result[CheckResult.CONFIRMED]))
        self._journal.schedule_check(_ids(by_result[CheckResult.SEEN]), due, seen=True)
        for entry in by_result[CheckResult.GIVEN_UP]:
            self._give_up(entry)
        missing = by_result[CheckResult.MISSING]
        if missing:
            if not await self._send(missing[:BATCH]):
                return None
            telemetry.finals_sent_again.inc(len(missing[:BATCH]))
            log.warning("finals_sent_again", missing=len(missing))
            self._journal.schedule_check(_ids(missing[BATCH:]), due, seen=False)
        return len(missing) + len(entries) - len(answers)

    async def _look_up(self, entries: Sequence[SentEntry]) -> dict[int, bool | None] | None:
        """Return by id whether the table has each entry; those it did not read are left out.

        Returns None if the table did not answer.
        """
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._thread, _find, self._table, entries
            )
        except (BotoCoreError, ClientError) as error:
            if _is_denied(error):
                if self._may_read:
                    log.error("table_denied", advice="allow dynamodb:BatchGetItem")  # noqa: TRY400 - no stack needed
                self._may_read = False
                self._journal.drop_sent()
            else:
                log.warning("table_unreachable", error=type(error).__name__)
            return None
        self._may_read = True
        return answers

    def _give_up(self, entry: SentEntry) -> None:
        telemetry.finals_not_stored.inc()
        log.error("final_not_stored", entry=entry.id, sendings=entry.sendings)
        self._journal.set_aside(entry.id, "NotStored")


def _find(table: StoredKeys, entries: Sequence[SentEntry]) -> dict[int, bool | None]:
    """Return by id whether the table has each entry; None for what is no utterance. Blocks."""
    keys: dict[int, Key] = {}
    answers: dict[int, bool | None] = {}
    for entry in entries:
        try:
            keys[entry.id] = key_of(Utterance.model_validate_json(entry.body))
        except ValidationError:
            answers[entry.id] = None
    found = table.has(keys.values()) if keys else {}
    return answers | {number: found[key] for number, key in keys.items() if key in found}


def _ids(entries: Iterable[JournalEntry]) -> list[int]:
    return [entry.id for entry in entries]


def _is_denied(error: Exception) -> bool:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return code == "AccessDeniedException"
