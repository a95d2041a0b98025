"""The queue between EventBridge and functions, which Lambda has and ministack lacks.

ministack starts a process for each event at once, hundreds of them after an upload of hundreds of
chunks. It drops the events beyond that, retries none, and forgets all in a restart. `Deliveries`
does what AWS does:

* a function works on `WORKERS` events at a time, and the others wait;
* an event that fails is retried and then sent to the function's destination for failures, by the
  function's configuration (ministack's pauses are seconds, not minutes);
* an event is on the disk before its first attempt. It is removed from there when a snapshot of the
  emulator includes what the function did. So at worst it is delivered twice, as with EventBridge.

A rule's own retries and dead-letter queue are missing in ministack, and here, too.

`program.py` connects this module to private functions of ministack.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

#: Events of one function in work at a time. Each has a process of some 60 MB.
WORKERS = 8
#: Lambda's default number of retries.
RETRIES = 2


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event for a function: its number in the journal, and its failed attempts."""

    number: int
    function: str
    payload: str
    failures: int = 0


class FunctionInvoker(Protocol):
    """Invokes functions: the emulator's Lambda, or a stand-in of the tests."""

    def invoke(self, event: PendingEvent) -> bool:
        """Run a function; return whether the event is completed."""

    def retry_in(self, event: PendingEvent) -> float | None:
        """Return the delay of the next attempt, seconds; None: there is none."""

    def give_up(self, event: PendingEvent) -> None:
        """Send an event without attempts left to the destination for failures."""


class EventJournal:
    """The events that are not completed, on the disk. Used by many threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")  # a kill is survived, a power cut not
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS events"
            " (number INTEGER PRIMARY KEY AUTOINCREMENT, function TEXT, payload TEXT)"
        )

    def add(self, function: str, payload: str) -> PendingEvent:
        """Store an event."""
        with self._lock:
            number = self._database.execute(
                "INSERT INTO events (function, payload) VALUES (?, ?)", (function, payload)
            ).lastrowid
        return PendingEvent(number or 0, function, payload)

    def read(self) -> list[PendingEvent]:
        """Return all events, the oldest first."""
        with self._lock:
            rows = self._database.execute(
                "SELECT number, function, payload FROM events ORDER BY number"
            ).fetchall()
        return [PendingEvent(*row) for row in rows]

    def remove(self, numbers: list[int]) -> None:
        """Remove events."""
        with self._lock:
            self._database.execute("BEGIN")
            self._database.executemany(
                "DELETE FROM events WHERE number = ?", [(number,) for number in numbers]
            )
            self._database.execute("COMMIT")


class Deliveries:
    """Delivers events to functions; see the module's docstring.

    Args:
        journal: stores the events.
        functions: invokes the functions.
        changed: called when an event is completed, to request a snapshot.
    """

    def __init__(
        self, journal: EventJournal, functions: FunctionInvoker, *, changed: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._functions = functions
        self._changed = changed
        self._lock = threading.Lock()
        self._workers: dict[str, ThreadPoolExecutor] = {}
        self._done: list[int] = []

    def resume(self) -> None:
        """Deliver the events that an earlier process has left."""
        for event in self._journal.read():
            self._submit(event)

    def accept(self, function: str, payload: str) -> None:
        """Accept an event for the function with this ARN."""
        self._submit(self._journal.add(function, payload))

    def completed(self) -> list[int]:
        """Return the numbers of the events that are completed and still on the disk."""
        with self._lock:
            return list(self._done)

    def remove(self, numbers: list[int]) -> None:
        """Remove events from the disk, because a snapshot holds their effects."""
        self._journal.remove(numbers)
        with self._lock:
            self._done = [number for number in self._done if number not in set(numbers)]

    def _submit(self, event: PendingEvent) -> None:
        with self._lock:
            name = event.function
            if name not in self._workers:
                self._workers[name] = ThreadPoolExecutor(WORKERS, thread_name_prefix="events")
            self._workers[name].submit(self._deliver, event)

    def _deliver(self, event: PendingEvent) -> None:
        if not self._functions.invoke(event):
            failed = replace(event, failures=event.failures + 1)
            pause = self._functions.retry_in(failed)
            if pause is not None:
                timer = threading.Timer(pause, self._submit, (failed,))
                timer.daemon = True
                timer.start()
                return
            self._functions.give_up(failed)
        with self._lock:
            self._done.append(event.number)
        self._changed()
