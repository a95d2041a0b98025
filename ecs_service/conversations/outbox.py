"""The promise behind a final: it reaches the queue, whatever happens meanwhile.

`add` returns when the final is in the journal. A background task sends the journal to SQS in
batches, at least once each; the processor stores them idempotently. While the queue is away
the task retries with a growing pause, and what a shutdown cannot flush stays in the journal
for the next start. What the queue has stays there as well, until `Confirmation` has seen it in
the table. docs/finals.md follows a final through all of this.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from ecs_service.conversations.journal import Entry, Journal
from foundation.backoff import backoff

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from transcripts.models import Utterance

#: The most that SQS takes in one call (SQS developer guide, SendMessageBatch).
BATCH = 10
#: The longest call, bytes. SQS takes 1 MiB now; older queues and emulators 256 KiB.
BATCH_BYTES = 256 * 1024
#: Waiting a little fills the batches: a call costs the same for one message as for ten.
LINGER_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
#: Between two looks whether the table has a final, seconds; also how soon the first is due.
CONFIRM_SECONDS = 15.0
#: The most finals that are kept after the queue has them. Beyond, its word is enough.
MOST_SENT = 50_000

log = structlog.get_logger(__name__)


class Outbox:
    """Sends finals from the journal to the queue. `run` is its background task."""

    def __init__(
        self,
        journal: Journal,
        sqs: SQSClient,
        queue_url: str,
        *,
        confirm_seconds: float = CONFIRM_SECONDS,
    ) -> None:
        """Make an outbox; a final is due for a look `confirm_seconds` after the queue took it."""
        self._journal = journal
        self._sqs = sqs
        self._queue_url = queue_url
        self._confirm_seconds = confirm_seconds
        # Of its own: a table that hangs may take all threads of the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._waiting = asyncio.Event()
        self._empty = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiting.set()  # an earlier process may have left something

    def add(self, utterance: Utterance) -> None:
        """Promise that `utterance` will reach the queue.

        Raises:
            sqlite3.Error: it cannot be kept, so it must not be shown as final.
        """
        self._journal.append(utterance.model_dump_json(by_alias=True))
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
                entries = self._journal.oldest(BATCH)
                if not entries:
                    self._waiting.clear()
                    self._empty.set()
                    continue
                sent = await self.send(entries)
            except sqlite3.Error as error:
                # What was sent but not deleted is sent again, and stored once.
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
        """Wait until the queue has everything; sends without lingering from now on."""
        self._hurry.set()
        self._empty.clear()
        self._waiting.set()
        await self._empty.wait()

    def waiting(self) -> int:
        """Return how many finals the queue does not have yet."""
        return self._journal.waiting()

    def oldest_age(self) -> float:
        """Return how long the oldest of them has waited, in seconds."""
        return self._journal.oldest_age()

    def unconfirmed(self) -> int:
        """Return how many finals the queue has that the table is not known to have."""
        return self._journal.sent()

    async def send(self, entries: Sequence[Entry]) -> bool:
        """Send as many of the first entries as one call takes; return whether any was accepted.

        Raises:
            sqlite3.Error: the journal cannot be written.
        """
        batch = _fitting(entries[:BATCH])
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
            log.warning("queue_unreachable", error=type(error).__name__, waiting=self.waiting())
            return False
        accepted = [int(entry["Id"]) for entry in answer.get("Successful", [])]
        self._accepted(accepted)
        for failure in answer.get("Failed", []):
            if failure["SenderFault"]:
                self._set_aside(int(failure["Id"]), failure["Code"])
        return bool(accepted)

    def _accepted(self, ids: list[int]) -> None:
        """Keep what the queue has until the table has it, if there is room."""
        if self._journal.sent() < MOST_SENT:
            try:
                self._journal.hand_over(ids, monotonic(), self._confirm_seconds)
            except sqlite3.OperationalError:  # to let go takes less room
                self._journal.remove(ids)
        else:
            self._journal.remove(ids)

    def _set_aside(self, entry_id: int, code: str) -> None:
        """Keep what the queue will never take from blocking the rest."""
        self._journal.set_aside(entry_id, code)
        log.error("final_refused_by_queue", entry=entry_id, code=code)


def _is_too_long(error: Exception) -> bool:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return code.endswith("BatchRequestTooLong")


def _fitting(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return as many of the oldest entries as one call takes, at least one."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.body.encode())
        if count and size > BATCH_BYTES:
            return entries[:count]
    return entries
