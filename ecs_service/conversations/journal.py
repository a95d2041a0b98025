"""Keeps finals in a small SQLite file until they are known to be in the table.

An entry waits until the queue has accepted it. It then stays as a `SentEntry` until it was found
in the table. An entry that the queue or the table will never take is set aside for an operator.

The file survives the process: each final is synced to the operating system, so that even `kill -9`
loses nothing (a power cut may lose the last moments). Without a path the journal is in memory.

The size is bounded. When the journal is full, it deletes sent entries, which the queue has, to make
room for new ones. If there are none, `append` fails as on a full disk.
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
#: The most entries that stay set aside: the newest.
MOST_SET_ASIDE = 1_000

#: `due` is when to check whether the table has an entry, in seconds of this process's monotonic
#: clock. It is null while the entry waits for the queue.
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
class JournalEntry:
    """A message for the queue; `id` grows with each."""

    id: int
    body: str


@dataclass(frozen=True, slots=True)
class SentEntry(JournalEntry):
    """An entry that the queue has accepted.

    Attributes:
        added: when it was appended, seconds since 1970.
        sendings: how often the queue has accepted it since this journal was opened.
        seen: whether the last check found it in the table.
    """

    added: float
    sendings: int
    seen: bool


class Journal:
    """A first-in, first-out list of entries on disk. Not safe for use from several threads."""

    def __init__(self, path: Path | None = None, *, limit: int | None = None) -> None:
        """Open or create the file at `path`, which grows to at most `limit` bytes.

        Entries that an earlier process sent are due for a check at once, as if sent just now.

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

    def append(self, body: str) -> int:
        """Write an entry for a message; return its id.

        Raises:
            sqlite3.Error: it cannot be written, for example because the disk is full.
        """
        row = ("INSERT INTO pending (added, body) VALUES (?, ?)", (time(), body))
        try:
            written = self._db.execute(*row)
        except sqlite3.OperationalError:
            forgotten = self.drop_sent()
            if not forgotten:
                raise
            log.warning("journal_full", forgotten=forgotten)
            written = self._db.execute(*row)
        assert written.lastrowid is not None, "an insert has a row"  # noqa: S101 - as documented
        return written.lastrowid

    def oldest_waiting(self, count: int) -> list[JournalEntry]:
        """Return up to `count` entries that wait for the queue, oldest first."""
        rows = self._db.execute(
            "SELECT id, body FROM pending WHERE due IS NULL AND refused IS NULL"
            " ORDER BY id LIMIT ?",
            (count,),
        )
        return [JournalEntry(*row) for row in rows]

    def remove(self, ids: Iterable[int]) -> None:
        """Delete entries."""
        self._db.execute(
            "DELETE FROM pending WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        )

    def set_aside(self, entry_id: int, reason: str) -> None:
        """Exclude an entry that can never be stored from sending, and keep it for an operator."""
        self._db.execute(
            "UPDATE pending SET refused = ?, due = NULL WHERE id = ?", (reason, entry_id)
        )
        self._db.execute(
            "DELETE FROM pending WHERE refused IS NOT NULL AND id NOT IN"
            " (SELECT id FROM pending WHERE refused IS NOT NULL ORDER BY id DESC LIMIT ?)",
            (MOST_SET_ASIDE,),
        )

    def count_waiting(self) -> int:
        """Return how many entries wait for the queue."""
        waiting = "SELECT count(*) FROM pending WHERE due IS NULL AND refused IS NULL"
        return int(self._db.execute(waiting).fetchone()[0])

    def oldest_age(self) -> float:
        """Return for how long the oldest of them has waited, in seconds."""
        added = self._db.execute(
            "SELECT added FROM pending WHERE due IS NULL AND refused IS NULL ORDER BY id LIMIT 1"
        ).fetchone()
        return 0.0 if added is None else max(0.0, time() - added[0])

    # --- sent entries -----------------------------------------------------------------------

    def mark_sent(self, ids: Iterable[int], now: float, pause: float) -> None:
        """Note that the queue has accepted entries, for the first time or again.

        A check is due `pause` seconds after `now`; each further sending makes the pause four times
        as long.
        """
        self._db.execute(
            "UPDATE pending SET due = ? + ? * (1 << 2 * min(sendings, 10)),"
            " sendings = sendings + 1, seen = 0"
            " WHERE id IN (SELECT value FROM json_each(?))",
            (now, pause, json.dumps(list(ids))),
        )

    def schedule_check(self, ids: Iterable[int], due: float, *, seen: bool) -> None:
        """Note whether the table had entries (`seen`), and check them again at `due`."""
        self._db.execute(
            "UPDATE pending SET due = ?, seen = ? WHERE id IN (SELECT value FROM json_each(?))",
            (due, seen, json.dumps(list(ids))),
        )

    def due_for_check(self, now: float, count: int) -> list[SentEntry]:
        """Return up to `count` sent entries whose check is due, the most overdue first."""
        rows = self._db.execute(
            "SELECT id, body, added, sendings, seen FROM pending WHERE due <= ?"
            " ORDER BY due LIMIT ?",
            (now, count),
        )
        return [
            SentEntry(number, body, added, sendings, bool(seen))
            for number, body, added, sendings, seen in rows
        ]

    def count_sent(self) -> int:
        """Return how many entries the queue has and the table is not known to have."""
        sent = "SELECT count(*) FROM pending WHERE due IS NOT NULL"
        return int(self._db.execute(sent).fetchone()[0])

    def drop_sent(self) -> int:
        """Delete all entries that the queue has; return how many."""
        return self._db.execute("DELETE FROM pending WHERE due IS NOT NULL").rowcount

    def close(self) -> None:
        """Close the file."""
        self._db.close()
