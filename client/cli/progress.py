"""Show the progress of a stream or of an upload.

On a terminal progress is a bar. Otherwise an upload prints a line for every tenth, which suits
logs and screen readers, or, for programs, JSON objects of the type `progress`: `sent` and `size`
are bytes of all files together, `files` of `of` files are complete.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final, Self

from rich.progress import Progress, TaskID, TimeRemainingColumn

from client.cli.printing import Printer
from client.live.speaking import StreamProgress

#: Smaller uploads end before a line about them can be read, bytes.
_WORTH_A_LINE: Final = 8 * 1024**2
#: Between JSON objects about progress, seconds.
_JSON_SECONDS: Final = 0.5


class _Bar:
    """A bar on the terminal of a printer. A context manager."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._resources = ExitStack()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        bar = self._make()
        self._bar = self._resources.enter_context(bar) if bar else None
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @abstractmethod
    def _make(self) -> AbstractContextManager[Progress] | None:
        """Return the bar; None where there is to be none."""

    def _update(self, completed: float, total: float | None, **fields: Any) -> None:
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task("", total=total, **fields)
        self._bar.update(self._task, completed=completed, total=total, **fields)


class StreamBar(_Bar):
    """Shows the progress of a stream, if stderr is a terminal."""

    def _make(self) -> AbstractContextManager[Progress] | None:
        texts = ("{task.fields[position]}", "{task.fields[state]}", "{task.fields[words]} words")
        return self._printer.progress_bar(*texts) if self._printer.is_terminal else None

    def show(self, progress: StreamProgress, duration: float | None, *, kept: float = 0.0) -> None:
        """Show the progress of a stream; `duration` is the length of all audio in seconds.

        While there is no connection, it shows how many seconds are `kept` for the next one.

        A file's header may announce another length than the audio has. At the end the length is
        that of the audio that was recognised.
        """
        if progress.finished and duration is not None:
            duration = progress.processed
        position = f"{progress.processed:.1f}"
        self._update(
            progress.processed,
            duration,
            position=f"{position} s" if duration is None else f"{position} of {duration:.1f} s",
            state=(
                f"connecting again, {kept:.0f} s kept"
                if progress.reconnecting
                else f"lag {progress.lag:.1f} s"
            ),
            words=progress.words,
        )


class UploadProgress(_Bar):
    """Shows the progress of an upload.

    Args:
        printer: prints it.
        size: bytes of all files together.
        files: how many files there are.
    """

    def __init__(self, printer: Printer, *, size: int, files: int) -> None:
        super().__init__(printer)
        self._size = size
        self._of = files
        self._files = 0
        self._sent = 0
        self._tenths = 0
        self._printed_at = float("-inf")

    def _make(self) -> AbstractContextManager[Progress] | None:
        if not self._of or self._printer.as_json or not self._printer.is_terminal:
            return None
        texts = ("{task.percentage:>3.0f} %", "{task.fields[amount]}")
        return self._printer.progress_bar(*texts, last=TimeRemainingColumn())

    def add_bytes(self, size: int) -> None:
        """Count bytes that were sent; a negative size takes back those of a failed attempt."""
        self._sent += size
        self._show(now=time.monotonic())

    def add_file(self) -> None:
        """Count a file that is done."""
        self._files += 1
        self._show(now=time.monotonic())

    def _show(self, *, now: float) -> None:
        if self._printer.as_json:
            if now - self._printed_at >= _JSON_SECONDS or self._files == self._of:
                self._printed_at = now
                fields = {"sent": self._sent, "size": self._size}
                self._printer.print_event("progress", **fields, files=self._files, of=self._of)
        elif self._bar is not None:
            self._update(self._sent, self._size, amount=self._amount())
        elif self._size >= _WORTH_A_LINE and self._sent * 10 // self._size > self._tenths:
            self._tenths = self._sent * 10 // self._size
            self._printer.print_note(f"{self._tenths * 10} % of {self._amount()}")

    def _amount(self) -> str:
        files = f", {self._files} of {self._of} files" if self._of > 1 else ""
        return f"{format_bytes(self._size)}{files}"


def format_bytes(size: int) -> str:
    """Return bytes for people, e.g. `3.4 MB`."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - the step between units
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
