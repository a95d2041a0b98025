"""The promise behind a final: it reaches the queue, whatever happens meanwhile.

`add` returns when the final is in the journal. A background task moves the journal to SQS in
batches, at least once each; the processor stores them idempotently. While the queue is away
the task retries with a growing pause, and what a shutdown cannot flush stays in the journal
for the next start.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from ecs_service.conversations.journal import Entry, Journal

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

log = structlog.get_logger(__name__)


class Outbox:
    """Moves finals from the journal to the queue. `run` is its background task."""

    def __init__(self, journal: Journal, sqs: SQSClient, queue_url: str) -> None:
        self._journal = journal
        self._sqs = sqs
        self._queue_url = queue_url
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
                batch = _fitting(self._journal.oldest(BATCH))
                if not batch:
                    self._waiting.clear()
                    self._empty.set()
                    continue
                sent = await self._send(batch)
            except sqlite3.Error as error:
                # What was sent but not deleted is sent again, and stored once.
                log.error("journal_failed", error=str(error))  # noqa: TRY400 - no stack needed
                sent = False
            if sent:
                failures = 0
            else:
                failures += 1
                await asyncio.sleep(_pause(failures))

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

    async def _send(self, batch: list[Entry]) -> bool:
        """Send one batch; return whether anything was accepted."""
        entries = [{"Id": str(entry.id), "MessageBody": entry.body} for entry in batch]
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._thread,
                partial(
                    self._sqs.send_message_batch,
                    QueueUrl=self._queue_url,
                    Entries=entries,  # type: ignore[arg-type] # the stub wants its own TypedDict
                ),
            )
        except (BotoCoreError, ClientError) as error:
            if len(batch) == 1 and _is_too_long(error):
                self._set_aside(batch[0].id, "BatchRequestTooLong")
                return True
            log.warning("queue_unreachable", error=type(error).__name__, waiting=self.waiting())
            return False
        accepted = [int(entry["Id"]) for entry in answer.get("Successful", [])]
        self._journal.remove(accepted)
        for failure in answer.get("Failed", []):
            if failure["SenderFault"]:
                self._set_aside(int(failure["Id"]), failure["Code"])
        return bool(accepted)

    def _set_aside(self, entry_id: int, code: str) -> None:
        """Keep what the queue will never take from blocking the rest."""
        self._journal.set_aside(entry_id, code)
        log.error("final_refused_by_queue", entry=entry_id, code=code)


def _is_too_long(error: Exception) -> bool:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return code.endswith("BatchRequestTooLong")


def _fitting(entries: list[Entry]) -> list[Entry]:
    """Return as many of the oldest entries as one call takes, at least one."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.body.encode())
        if count and size > BATCH_BYTES:
            return entries[:count]
    return entries


def _pause(failures: int) -> float:
    """Return the pause after so many failures in a row, in seconds: exponential with jitter."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
