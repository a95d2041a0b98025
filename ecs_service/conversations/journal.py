"""Finals that are not known to be stored yet, in a small SQLite file.

A message waits until the queue has it. It then stays, as `Sent`, until somebody has seen that the
table has it. A message that nobody can store is set aside.

What is in the file survives the process: it is synced to the operating system with each
final, so that also `kill -9` loses nothing (a power cut may lose the last moments). Without
a path the journal is held in memory.

The size is bounded. Where there is no room left, new messages take that of sent ones, which the
queue has; without any of those, `append` fails as on a full disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import time

import structlog

#: The largest journal, bytes: some millions of finals on the disk, a hundred thousand in memory.
FILE_BYTES = 4 * 1024**3
MEMORY_BYTES = 128 * 1024**2
#: Of the messages that were set aside, only so many stay: the newest.
MOST_SET_ASIDE = 1_000

#: `due` says when to look whether the table has a message, in seconds of this process's own
#: clock; without a value the message waits for the queue.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pending (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    added REAL NOT NULL,
    body TEXT NOT NULL,
    refused TEXT
)
"""
_NEWER_COLUMNS = {
    "due": "REAL",
    "sendings": "INTEGER NOT NULL DEFAULT 0",
    "seen": "INTEGER NOT NULL DEFAULT 0",
}
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS waiting ON pending (id) WHERE due IS NULL AND refused IS NULL",
    "CREATE INDEX IF NOT EXISTS sent ON pending (due) WHERE due IS NOT NULL",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message; `id` grows with each."""

    id: int
    body: str


@dataclass(frozen=True, slots=True)
class Sent(Entry):
    """A message that the queue has.

    Attributes:
        added: when it was written down, seconds since 1970.
        sendings: how often the queue took it since this journal was opened.
        seen: whether the table had it when somebody looked last.
    """

    added: float
    sendings: int
    seen: bool


class Journal:
    """A list of messages on disk, first in, first out. Not for use from several threads."""

    def __init__(self, path: Path | None = None, *, limit: int | None = None) -> None:
        """Open or create the file at `path`, which grows to at most `limit` bytes.

        What an earlier process has sent is due at once, as if it had been sent only now.

        Raises:
            sqlite3.Error: the file cannot be opened or is not a journal.
        """
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        (page,) = self._db.execute("PRAGMA page_size").fetchone()
        limit = limit or (MEMORY_BYTES if path is None else FILE_BYTES)
        self._db.execute(f"PRAGMA max_page_count = {limit // page}")
        self._db.execute(_SCHEMA)
        known = {column[1] for column in self._db.execute("PRAGMA table_info(pending)")}
        for name, kind in _NEWER_COLUMNS.items():
            if name not in known:  # written by an earlier version
                self._db.execute(f"ALTER TABLE pending ADD COLUMN {name} {kind}")
        for index in _INDEXES:
            self._db.execute(index)
        self._db.execute("UPDATE pending SET due = 0, sendings = 0, seen = 0 WHERE due IS NOT NULL")

    def append(self, body: str) -> None:
        """Keep a message.

        Raises:
            sqlite3.Error: it could not be written, e.g. because the disk is full.
        """
        row = ("INSERT INTO pending (added, body) VALUES (?, ?)", (time(), body))
        try:
            self._db.execute(*row)
        except sqlite3.OperationalError:
            forgotten = self.forget_sent()
            if not forgotten:
                raise
            log.warning("journal_full", forgotten=forgotten)
            self._db.execute(*row)

    def oldest(self, count: int) -> list[Entry]:
        """Return up to `count` messages that wait, oldest first."""
        rows = self._db.execute(
            "SELECT id, body FROM pending WHERE due IS NULL AND refused IS NULL"
            " ORDER BY id LIMIT ?",
            (count,),
        )
        return [Entry(*row) for row in rows]

    def remove(self, ids: Iterable[int]) -> None:
        """Let go of messages."""
        self._db.execute(
            "DELETE FROM pending WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        )

    def set_aside(self, entry_id: int, reason: str) -> None:
        """Keep a message for a person to look at: nobody can store it."""
        self._db.execute(
            "UPDATE pending SET refused = ?, due = NULL WHERE id = ?", (reason, entry_id)
        )
        self._db.execute(
            "DELETE FROM pending WHERE refused IS NOT NULL AND id NOT IN"
            " (SELECT id FROM pending WHERE refused IS NOT NULL ORDER BY id DESC LIMIT ?)",
            (MOST_SET_ASIDE,),
        )

    def waiting(self) -> int:
        """Return how many messages wait."""
        count: int = self._db.execute(
            "SELECT count(*) FROM pending WHERE due IS NULL AND refused IS NULL"
        ).fetchone()[0]
        return count

    def oldest_age(self) -> float:
        """Return how long the oldest message has waited, in seconds."""
        added = self._db.execute(
            "SELECT added FROM pending WHERE due IS NULL AND refused IS NULL ORDER BY id LIMIT 1"
        ).fetchone()
        return 0.0 if added is None else max(0.0, time() - added[0])

    # --- what the queue has -----------------------------------------------------------------

    def hand_over(self, ids: Iterable[int], now: float, pause: float) -> None:
        """Note that the queue has taken messages, once more or for the first time.

        They are due `pause` seconds after `now`, and four times as long after each sending more.
        """
        self._db.execute(
            "UPDATE pending SET due = ? + ? * (1 << 2 * min(sendings, 10)),"
            " sendings = sendings + 1, seen = 0"
            " WHERE id IN (SELECT value FROM json_each(?))",
            (now, pause, json.dumps(list(ids))),
        )

    def look_again(self, ids: Iterable[int], due: float, *, seen: bool) -> None:
        """Note that the table had messages, or had not; they are due again at `due`."""
        self._db.execute(
            "UPDATE pending SET due = ?, seen = ? WHERE id IN (SELECT value FROM json_each(?))",
            (due, seen, json.dumps(list(ids))),
        )

    def due(self, now: float, count: int) -> list[Sent]:
        """Return up to `count` sent messages that are due, those that are for longest first."""
        rows = self._db.execute(
            "SELECT id, body, added, sendings, seen FROM pending WHERE due <= ?"
            " ORDER BY due LIMIT ?",
            (now, count),
        )
        return [
            Sent(number, body, added, sendings, bool(seen))
            for number, body, added, sendings, seen in rows
        ]

    def sent(self) -> int:
        """Return how many messages the queue has that the table is not known to have."""
        count: int = self._db.execute(
            "SELECT count(*) FROM pending WHERE due IS NOT NULL"
        ).fetchone()[0]
        return count

    def forget_sent(self) -> int:
        """Let go of all that the queue has; return how many these were."""
        return self._db.execute("DELETE FROM pending WHERE due IS NOT NULL").rowcount

    def close(self) -> None:
        """Close the file."""
        self._db.close()
