"""Finals that the queue does not have yet, in a small SQLite file.

What is in the file survives the process: it is synced to the operating system with each
final, so that also `kill -9` loses nothing (a power cut may lose the last moments). Without
a path the journal is held in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import time

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pending (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    added REAL NOT NULL,
    body TEXT NOT NULL,
    refused TEXT
)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message that waits; `id` grows with each."""

    id: int
    body: str


class Journal:
    """A first-in, first-out list of messages on disk. Not for use from several threads."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or create the file at `path`.

        Raises:
            sqlite3.Error: the file cannot be opened or is not a journal.
        """
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(_SCHEMA)

    def append(self, body: str) -> None:
        """Keep a message.

        Raises:
            sqlite3.Error: it could not be written, e.g. because the disk is full.
        """
        self._db.execute("INSERT INTO pending (added, body) VALUES (?, ?)", (time(), body))

    def oldest(self, count: int) -> list[Entry]:
        """Return up to `count` messages that wait, oldest first."""
        rows = self._db.execute(
            "SELECT id, body FROM pending WHERE refused IS NULL ORDER BY id LIMIT ?", (count,)
        )
        return [Entry(*row) for row in rows]

    def remove(self, ids: Iterable[int]) -> None:
        """Let go of messages that the queue has."""
        self._db.executemany("DELETE FROM pending WHERE id = ?", ((i,) for i in ids))

    def set_aside(self, entry_id: int, reason: str) -> None:
        """Keep a message for a person to look at: the queue will never take it."""
        self._db.execute("UPDATE pending SET refused = ? WHERE id = ?", (reason, entry_id))

    def waiting(self) -> int:
        """Return how many messages wait."""
        count: int = self._db.execute(
            "SELECT count(*) FROM pending WHERE refused IS NULL"
        ).fetchone()[0]
        return count

    def oldest_age(self) -> float:
        """Return how long the oldest message has waited, in seconds."""
        added = self._db.execute("SELECT min(added) FROM pending WHERE refused IS NULL").fetchone()
        return 0.0 if added[0] is None else max(0.0, time() - added[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()
