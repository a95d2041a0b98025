"""What people and programs see of uploads: progress on stderr, results on stdout.

On a terminal progress is a bar. Elsewhere it is a line for every tenth, which suits logs and
screen readers. For programs it is one of the JSON lines on stdout:

| `type`     | other fields                                                        |
|------------|---------------------------------------------------------------------|
| `progress` | `sent` and `size` of all files together, bytes; `files`, `of`       |
| `uploaded` | `file`, `key`, `size`                                               |
| `skipped`  | `file`, `key`, `size`: the same bytes are there                     |
| `refused`  | `file`, `code` (`name`, `unreadable`, `not_audio`, `exists`), `message`     |
| `session`  | `userId`, `sessionId`, `chunkCount`, `firstChunk`                   |
| `status`   | see `client.recordings.status`                                               |
| `vocabulary`, `deleted` | see docs/client.md                                     |
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from client.cli.output import echo, json_line, printable, printable_lines

#: Uploads that are smaller are over before a line about them was read, bytes.
_WORTH_TELLING: Final = 8 * 1024**2
#: Between JSON lines of progress, seconds.
_JSON_SECONDS: Final = 0.5


class Report:
    """Tells what happens, to people or, `as_json`, to programs."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(stderr=True)

    def result(self, line: str) -> None:
        """Print a result for people and for `$(...)`: a line on stdout."""
        if not self._as_json:
            echo(printable(line))

    def event(self, kind: str, **fields: Any) -> None:
        """Print a line of JSON, where that is wanted."""
        if self._as_json:
            echo(json_line({"type": kind} | fields))

    def tell(self, line: str) -> None:
        """Tell people something on stderr."""
        self._console.print(Text(printable_lines(line)), soft_wrap=True)

    def progress(self, size: int, files: int) -> UploadProgress:
        """Return what shows the progress of an upload of so many bytes in so many files."""
        return UploadProgress(self, self._console, as_json=self._as_json, size=size, files=files)


class UploadProgress:
    """Shows how much of all files is there. A context manager."""

    def __init__(
        self, report: Report, console: Console, *, as_json: bool, size: int, files: int
    ) -> None:
        self._report = report
        self._console = console
        self._as_json = as_json
        self._size = size
        self._of = files
        self._files = 0
        self._sent = 0
        self._tenths = 0
        self._told_at = float("-inf")
        self._resources = ExitStack()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._of and self._console.is_terminal and not self._as_json:
            bar = Progress(
                BarColumn(bar_width=30),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[told]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
                redirect_stdout=False,  # it would go to stderr
            )
            self._bar = self._resources.enter_context(bar)
            self._task = bar.add_task("", total=self._size, told=self._told())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def sent(self, size: int) -> None:
        """Count bytes; negative where an attempt begins again."""
        self._sent += size
        self._show(now=time.monotonic())

    def done(self) -> None:
        """Count a file."""
        self._files += 1
        self._show(now=time.monotonic())

    def _show(self, *, now: float) -> None:
        if self._as_json:
            if now - self._told_at >= _JSON_SECONDS or self._files == self._of:
                self._told_at = now
                fields = {"sent": self._sent, "size": self._size}
                self._report.event("progress", **fields, files=self._files, of=self._of)
        elif self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._sent, told=self._told())
        elif self._size >= _WORTH_TELLING and self._sent * 10 // self._size > self._tenths:
            self._tenths = self._sent * 10 // self._size
            self._report.tell(f"{self._tenths * 10} % of {self._told()}")

    def _told(self) -> str:
        files = f", {self._files} of {self._of} files" if self._of > 1 else ""
        return f"{amount(self._size)}{files}"


def amount(size: int) -> str:
    """Return bytes for people, e.g. `3.4 MB`."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - the step between units
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
