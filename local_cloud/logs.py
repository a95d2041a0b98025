"""The logs of child processes: started afresh, bounded, and watched for errors."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

#: A log beyond this is put aside, bytes; one predecessor is kept.
MAX_BYTES = 8 * 1024 * 1024
#: How often a log is looked at, seconds.
INTERVAL = 0.5
#: Most of a log that is read at once, bytes.
CHUNK = 64 * 1024
#: Longest line that is shown, characters.
WIDTH = 300
#: Bytes of UTF-8 that begin no character.
_CONTINUATIONS = bytes(range(0x80, 0xC0))


def put_aside(log: Path) -> None:
    """Move a log of an earlier run out of the way."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))


def bound(log: Path, limit: int = MAX_BYTES) -> bool:
    """Empty a log that has outgrown `limit`, with a copy put aside; tell whether it had.

    The writer goes on with its open file, which is why the file stays and only its content
    goes; that takes a file opened for appending.
    """
    if log.stat().st_size <= limit:
        return False
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
    return True


def complaint(line: str) -> str | None:
    """Return what a log line says to the user at the terminal; `None` for nothing.

    Errors of the structured log are shown in short, and everything that is not structured,
    such as the last words of a process, as it is.
    """
    text = line.strip()
    try:
        entry = json.loads(text)
    except ValueError:
        return text[:WIDTH] or None
    if not isinstance(entry, dict):
        return text[:WIDTH]
    if entry.get("level") not in ("error", "critical"):
        return None
    details = [
        f"{name}={value}"
        for name, value in entry.items()
        if name not in ("event", "level", "timestamp", "exception")
    ]
    exception = str(entry.get("exception", "")).strip().rpartition("\n")[2]
    return " ".join(filter(None, [str(entry.get("event", "")), *details, exception]))[:WIDTH]


def readable(cut: bytes) -> str:
    """Return bytes that may begin within a character as text; what is no UTF-8 is escaped."""
    return cut.lstrip(_CONTINUATIONS).decode(errors="backslashreplace")


def last_lines(log: Path, count: int = 15) -> list[str]:
    """Return the last lines of a log; none when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - CHUNK))
            text = readable(file.read())
    except OSError:
        return []
    return [line[:WIDTH] for line in text.splitlines()[-count:]]


class Follower:
    """Reads what is added to a log, line by line."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._position = 0
        self._rest = b""

    def read(self) -> list[str]:
        """Return the lines that have become whole, at most a `CHUNK` of them; bounds the log."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._position)
            added = file.read(CHUNK)
        self._position += len(added)
        *lines, rest = (self._rest + added).split(b"\n")
        self._rest = rest[-CHUNK:]
        if not added and bound(self._log):
            self._position, self._rest = 0, b""
        return [readable(line) for line in lines]


async def watch(log: Path, tell: Callable[[str], None]) -> None:
    """Tell every complaint that is added to a log until cancelled."""
    follower = Follower(log)
    while True:
        await asyncio.sleep(INTERVAL)
        for line in follower.read():
            if (text := complaint(line)) is not None:
                tell(text)
