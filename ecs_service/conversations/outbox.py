"""Delivers finals to the queue at least once, whatever fails meanwhile.

`add` returns when the final is in the journal. A background task sends the journal to SQS in
batches, and the processor stores each final idempotently. While the queue is unreachable the task
retries with a growing pause. What a shutdown cannot flush stays in the journal for the next start.
An accepted final stays there, too, until `Confirmation` has found it in the table. docs/finals.md
follows a final through all of this.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from ecs_service.conversations.journal import Journal, JournalEntry
from foundation.backoff import backoff

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from transcripts.models import Utterance

#: The most that SQS takes in one call (SQS developer guide, SendMessageBatch).
BATCH = 10
#: The longest call, bytes. SQS takes 1 MiB now; older queues and emulators 256 KiB.
BATCH_BYTES = 256 * 1024
#: A short wait fills the batches: a call costs the same for one message as for ten.
LINGER_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
#: The most accepted finals that wait for confirmation. Beyond that, acceptance is enough.
MOST_SENT = 50_000

log = structlog.get_logger(__name__)


class Outbox:
    """Sends finals from the journal to the queue. `run` is its background task."""

    def __init__(
        self, journal: Journal, sqs: SQSClient, queue_url: str, *, confirm_seconds: float
    ) -> None:
        """Make an outbox.

        A final's first check in the table is due `confirm_seconds` after the queue accepted it.
        """
        self.journal = journal
        self._sqs = sqs
        self._queue_url = queue_url
        self._confirm_seconds = confirm_seconds
        # A thread of its own: a table that hangs may block all threads of the loop's executor.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._waiting = asyncio.Event()
        self._empty = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiting.set()  # an earlier process may have left finals
        self._on_accepted: dict[int, Callable[[], None]] = {}

    def add(self, utterance: Utterance, on_accepted: Callable[[], None] | None = None) -> None:
        """Keep `utterance` durably until the queue has it; then call `on_accepted`.

        Raises:
            sqlite3.Error: it cannot be kept, so it must not be published as final.
        """
        entry = self.journal.append(utterance.model_dump_json(by_alias=True))
        if on_accepted is not None:
            self._on_accepted[entry] = on_accepted
        self._empty.clear()
        self._waiting.set()

    async def run(self) -> None:
        """Send until cancelled."""
        failures = 0
        while True:
            await self._waiting.wait()
            if not self._hurry.is_set():
                await asyncio.sleep(LINGER_SECONDS)
            try:
                entries = self.journal.oldest_waiting(BATCH)
                if not entries:
                    self._waiting.clear()
                    self._empty.set()
                    continue
                sent = await self.send(entries)
            except sqlite3.Error as error:
                # What was sent but not marked so is sent again; it is stored once all the same.
                log.error("journal_failed", error=str(error))  # noqa: TRY400 - no stack needed
                sent = False
            if sent:
                failures = 0
            else:
                failures += 1
                await asyncio.sleep(
                    backoff(failures, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
                )

    async def flush(self) -> None:
        """Wait until the queue has every final; from now on batches are sent without delay."""
        self._hurry.set()
        self._empty.clear()
        self._waiting.set()
        await self._empty.wait()

    async def send(self, entries: Sequence[JournalEntry]) -> bool:
        """Send the first entries, as many as fit one call; return whether any was accepted.

        Raises:
            sqlite3.Error: the journal cannot be written.
        """
        batch = _first_batch(entries[:BATCH])
        messages = [{"Id": str(entry.id), "MessageBody": entry.body} for entry in batch]
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._thread,
                partial(
                    self._sqs.send_message_batch,
                    QueueUrl=self._queue_url,
                    Entries=messages,  # type: ignore[arg-type] # the stub wants its own TypedDict
                ),
            )
        except (BotoCoreError, ClientError) as error:
            if len(batch) == 1 and _is_too_long(error):
                self._set_aside(batch[0].id, "BatchRequestTooLong")
                return True
            log.warning(
                "queue_unreachable",
                error=type(error).__name__,
                waiting=self.journal.count_waiting(),
            )
            return False
        accepted = [int(entry["Id"]) for entry in answer.get("Successful", [])]
        self._mark_accepted(accepted)
        for entry_id in accepted:
            self._notify(entry_id)
        for failure in answer.get("Failed", []):
            if failure["SenderFault"]:
                self._set_aside(int(failure["Id"]), failure["Code"])
        return bool(accepted)

    def _mark_accepted(self, ids: list[int]) -> None:
        """Keep accepted entries for confirmation, unless there are too many or the disk is full."""
        if self.journal.count_sent() < MOST_SENT:
            try:
                self.journal.mark_sent(ids, monotonic(), self._confirm_seconds)
            except sqlite3.OperationalError:  # deleting takes less room
                self.journal.remove(ids)
        else:
            self.journal.remove(ids)

    def _notify(self, entry_id: int) -> None:
        on_accepted = self._on_accepted.pop(entry_id, None)
        if on_accepted is not None:
            on_accepted()

    def _set_aside(self, entry_id: int, code: str) -> None:
        """Keep an entry that the queue will never accept from blocking the others."""
        self.journal.set_aside(entry_id, code)
        self._notify(entry_id)
        log.error("final_refused_by_queue", entry=entry_id, code=code)


def _is_too_long(error: Exception) -> bool:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return code.endswith("BatchRequestTooLong")


def _first_batch(entries: Sequence[JournalEntry]) -> Sequence[JournalEntry]:
    """Return the first entries that fit one call together, at least one."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.body.encode())
        if count and size > BATCH_BYTES:
            return entries[:count]
    return entries
