"""The logs of child processes: rotated at the start, bounded in size, and watched for errors."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

#: A log beyond this is copied aside and emptied, bytes; one predecessor is kept.
MAX_BYTES = 8 * 1024 * 1024
#: How often a log is read, seconds.
INTERVAL = 0.5
#: Most of a log that is read at once, bytes.
CHUNK = 64 * 1024
#: Longest line that is printed, characters.
WIDTH = 300
#: Bytes of UTF-8 that continue a character.
_CONTINUATIONS = bytes(range(0x80, 0xC0))


def rotate(log: Path) -> None:
    """Rename the log of the last run to `NAME.1`; make the folder where there is none."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))


def bound(log: Path, limit: int = MAX_BYTES) -> bool:
    """Empty a log that is larger than `limit`, keeping a copy; return whether it was larger.

    The writer keeps its open file, so the file stays and only its content goes. The writer must
    have opened it for appending.
    """
    if log.stat().st_size <= limit:
        return False
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
    return True


def format_error(line: str) -> str | None:
    """Return a log line as it is printed at the terminal; `None` where it is no error.

    Errors of the structured log are shortened. Lines without structure, such as the last output
    of a process that crashes, are returned as they are.
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


def decode(cut: bytes) -> str:
    """Return bytes that may begin within a character as text; escape what is no UTF-8."""
    return cut.lstrip(_CONTINUATIONS).decode(errors="backslashreplace")


def last_lines(log: Path, count: int = 15) -> list[str]:
    """Return the last lines of a log; none when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - CHUNK))
            text = decode(file.read())
    except OSError:
        return []
    return [line[:WIDTH] for line in text.splitlines()[-count:]]


def quote_end(log: Path, count: int = 15) -> str:
    """Return a sentence with the last lines of a log, for the end of an error's message."""
    lines = "".join(f"\n    {line}" for line in last_lines(log, count))
    return f" The end of {log}:{lines}" if lines else ""


class LogReader:
    """Reads the lines that are added to a log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._position = 0
        self._rest = b""

    def read(self) -> list[str]:
        """Return the lines that are complete, at most a `CHUNK` of them; bound the log."""
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
        return [decode(line) for line in lines]


async def watch(log: Path, on_error: Callable[[str], None]) -> None:
    """Pass every error that is added to a log to `on_error`, until cancelled."""
    reader = LogReader(log)
    while True:
        await asyncio.sleep(INTERVAL)
        for line in reader.read():
            if (text := format_error(line)) is not None:
                on_error(text)
