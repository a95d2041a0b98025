r"""Everything that the client prints. No other module of the client writes to a terminal.

Most of what is printed comes from others: captions, names of files, messages of a service. A
terminal obeys control characters, and characters that change the direction of writing can make a
line read as another one. `printable` escapes both, as `\x1b`; `safe_json` escapes them as JSON
does, which keeps the meaning. A byte of a file's name that is not UTF-8 is shown as `\xff`. A
newline reaches the terminal only where this client ends a line, or where a document that was asked
for has one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Final, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

from client.errors import ClientError, OutputFailed

#: Controls, line separators, changes of direction, surrogates, noncharacters.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
#: Where Python keeps the bytes of a file's name that are not UTF-8 (PEP 383).
_BYTES: Final = range(0xDC80, 0xDD00)


# --- the filter ---------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Return `text` as one line, with control and direction characters escaped."""
    return _UNSAFE.sub(lambda found: _escape(ord(found[0])), text)


def safe_json(text: str) -> str:
    """Return a JSON text that means the same and is safe to print.

    A JSON string cannot contain a character below U+0020; between values it is white space.
    """
    return _UNSAFE.sub(lambda found: " " if found[0] < " " else f"\\u{ord(found[0]):04x}", text)


def _escape(code: int) -> str:
    if code in _BYTES:
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - a byte


# --- printing -----------------------------------------------------------------------------------


class Printer:
    """Prints results on stdout and notes on stderr.

    With `as_json`, results are JSON objects, one a line. Notes are for people in either case.

    Every method that writes to stdout raises `OutputFailed` if that fails, and `BrokenPipeError`
    if the reader has left.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._console = Console(stderr=True)
        self._has_bar = False

    @property
    def is_terminal(self) -> bool:
        """Whether stderr is a terminal."""
        return self._console.is_terminal

    def print_result(self, line: str) -> None:
        """Print a line of plain text on stdout, unless JSON is wanted."""
        if not self.as_json:
            self._print(printable(line))

    def print_event(self, kind: str, **fields: Any) -> None:
        """Print an event as a JSON object with this `type`, if JSON is wanted."""
        if self.as_json:
            self.print_json(json.dumps({"type": kind} | fields, ensure_ascii=False))

    def print_json(self, text: str) -> None:
        """Print a JSON text as one line."""
        self._print(safe_json(text))

    def print_note(self, *lines: str) -> None:
        """Print lines for people on stderr."""
        for line in lines:
            self._console.print(Text(printable(line)), soft_wrap=True)

    @contextlib.contextmanager
    def progress_bar(self, *texts: str, last: ProgressColumn | None = None) -> Iterator[Progress]:
        """Show a progress bar on stderr within the context, with these texts beside it."""
        columns: list[ProgressColumn] = [BarColumn(bar_width=30)]
        columns += [TextColumn(each, markup=False) for each in texts]
        columns += [last] if last else []
        with Progress(
            *columns,
            console=self._console,
            transient=True,
            redirect_stdout=False,  # it would go to stderr
        ) as bar:
            self._has_bar = True
            try:
                yield bar
            finally:
                self._has_bar = False

    def _print(self, line: str) -> None:
        if self._has_bar and sys.stdout is not None and sys.stdout.isatty():
            # The console knows where the bar is. As `Text`, the line is no markup.
            self._console.print(Text(line), soft_wrap=True)
        else:
            with writing_stdout():
                typer.echo(line)


def print_document(pieces: Iterable[bytes], *, is_json: bool) -> None:
    """Print a document on stdout line by line, with control characters escaped.

    JSON keeps its meaning. Captions that this project makes hold nothing to be escaped.

    Raises:
        OutputFailed: stdout cannot be written.
        BrokenPipeError: the reader of stdout has left.
    """
    with writing_stdout() as stdout:
        for piece in pieces:
            lines = piece.decode(errors="backslashreplace").split("\n")
            safe = map(safe_json if is_json else printable, lines)
            stdout.buffer.write("\n".join(safe).encode())
        stdout.flush()


@contextlib.contextmanager
def writing_stdout() -> Iterator[TextIO]:
    """Yield stdout, and turn errors of writing to it into errors of the client.

    Raises:
        OutputFailed: stdout cannot be written, or was closed by the parent process.
        BrokenPipeError: the reader of stdout has left.
    """
    if sys.stdout is None:
        raise OutputFailed("the output cannot be written: stdout is closed")
    try:
        yield sys.stdout
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"the output cannot be written: {error.strerror}") from error


# --- errors, and what nobody foresaw ------------------------------------------------------------


def print_error(error: ClientError, *advice: str) -> None:
    """Print on stderr why a command failed, and advice after it."""
    _print_to_stderr(*error.lines, *advice)


def guard_stderr() -> None:
    """Escape logs and stack traces on stderr, too: they may quote what a service sent."""
    logging.getLogger().addHandler(_LogHandler(logging.WARNING))
    sys.excepthook = _print_stack_trace


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print a log record."""
        _print_to_stderr(*self.format(record).split("\n"))


def _print_stack_trace(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    _print_to_stderr(*"".join(traceback.format_exception(kind, error, trace)).split("\n"))


def _print_to_stderr(*lines: str) -> None:
    for line in lines:
        typer.echo(printable(line), err=True)
