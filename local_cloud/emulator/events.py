"""Lambda's own queue of the emulator: events on their way from EventBridge to functions.

ministack starts a process for each event at once, hundreds of them after an upload of hundreds of
chunks, drops the events beyond that, tries none a second time, and knows of none after a restart.
AWS keeps them. So do these `Deliveries`:

* a function works on `WORKERS` events at a time, and the rest waits;
* an event that a function fails on is tried again and then goes to the function's destination for
  failures, as the function's configuration says (ministack's pauses are seconds, not minutes);
* an event is on the disk before it is begun, and leaves it with the snapshot that holds what came
  of it, so at worst it comes twice, which EventBridge allows itself as well.

What else ministack does not do: a rule's own retries and dead-letter queue.

This calls private functions of ministack, see `local_cloud.emulator`.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

#: Events of one function that are worked on at a time. Each has a process, of some 60 MB.
WORKERS = 8
#: What Lambda does unless a function is configured otherwise.
RETRIES = 2


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for a function. `number` is its own; `failures` counts attempts."""

    number: int
    function: str
    payload: str
    failures: int = 0


class Functions(Protocol):
    """Who invokes functions; the emulator's Lambda, and the tests' own."""

    def invoke(self, delivery: Delivery) -> bool:
        """Run a function; return whether it is done with the event."""

    def retry_in(self, delivery: Delivery) -> float | None:
        """Return when to try again, in seconds; None: not any more."""

    def give_up(self, delivery: Delivery) -> None:
        """Put an event aside that failed for good."""


class Journal:
    """The events that are not done with, on the disk. Used by many threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")  # a kill is survived, a power cut not
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS events"
            " (number INTEGER PRIMARY KEY AUTOINCREMENT, function TEXT, payload TEXT)"
        )

    def add(self, function: str, payload: str) -> Delivery:
        """Keep an event."""
        with self._lock:
            number = self._database.execute(
                "INSERT INTO events (function, payload) VALUES (?, ?)", (function, payload)
            ).lastrowid
        return Delivery(number or 0, function, payload)

    def all(self) -> list[Delivery]:
        """Return what is kept, oldest first."""
        with self._lock:
            rows = self._database.execute(
                "SELECT number, function, payload FROM events ORDER BY number"
            ).fetchall()
        return [Delivery(*row) for row in rows]

    def remove(self, numbers: list[int]) -> None:
        """Forget events."""
        with self._lock:
            self._database.execute("BEGIN")
            self._database.executemany(
                "DELETE FROM events WHERE number = ?", [(number,) for number in numbers]
            )
            self._database.execute("COMMIT")


class Deliveries:
    """Hands events to functions. See the module.

    Args:
        journal: what keeps them.
        functions: who invokes functions.
        changed: told when an event is done with, so that a snapshot is taken.
    """

    def __init__(
        self, journal: Journal, functions: Functions, *, changed: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._functions = functions
        self._changed = changed
        self._lock = threading.Lock()
        self._workers: dict[str, ThreadPoolExecutor] = {}
        self._done: list[int] = []

    def resume(self) -> None:
        """Hand over what an earlier process left behind."""
        for delivery in self._journal.all():
            self._hand_over(delivery)

    def accept(self, function: str, payload: str) -> None:
        """Take an event for a function, by its ARN."""
        self._hand_over(self._journal.add(function, payload))

    def done(self) -> list[int]:
        """Return the events that are done with and still on the disk."""
        with self._lock:
            return list(self._done)

    def forget(self, numbers: list[int]) -> None:
        """Take events off the disk, for what came of them is there."""
        self._journal.remove(numbers)
        with self._lock:
            self._done = [number for number in self._done if number not in set(numbers)]

    def _hand_over(self, delivery: Delivery) -> None:
        with self._lock:
            name = delivery.function
            if name not in self._workers:
                self._workers[name] = ThreadPoolExecutor(WORKERS, thread_name_prefix="events")
            self._workers[name].submit(self._deliver, delivery)

    def _deliver(self, delivery: Delivery) -> None:
        if not self._functions.invoke(delivery):
            failed = replace(delivery, failures=delivery.failures + 1)
            pause = self._functions.retry_in(failed)
            if pause is not None:
                timer = threading.Timer(pause, self._hand_over, (failed,))
                timer.daemon = True
                timer.start()
                return
            self._functions.give_up(failed)
        with self._lock:
            self._done.append(delivery.number)
        self._changed()
