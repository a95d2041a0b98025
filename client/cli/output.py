r"""Writing to the terminal what is somebody else's: names of files, captions, words of a service.

A terminal obeys control characters, and characters that turn the direction of writing can make a
line read as another one. So they are escaped here: as `\x1b` for people, as JSON has it for
programs. A byte of a file's name that is no UTF-8 is shown the same way, `\xff`.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Final, TextIO

import typer

from client.errors import OutputFailed

#: Controls, separators of lines, what turns the writing, halves of characters, noncharacters.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
#: Where Python keeps the bytes of a file's name that are no UTF-8 (PEP 383).
_BYTES: Final = range(0xDC80, 0xDD00)


def printable(text: str) -> str:
    """Return text as one line that a terminal only shows."""
    return _UNSAFE.sub(lambda found: _escape(ord(found[0])), text)


def printable_lines(text: str) -> str:
    """Return text as lines that a terminal only shows."""
    return "\n".join(map(printable, text.split("\n")))


def json_line(fields: object) -> str:
    """Return JSON on one line, readable and safe to print."""
    return safe_json(json.dumps(fields, ensure_ascii=False))


def safe_json(text: str) -> str:
    """Return a JSON text that means the same and is safe to print.

    A character below U+0020 is no part of a JSON string, and between values it is white space.
    """
    return _UNSAFE.sub(lambda found: " " if found[0] < " " else f"\\u{ord(found[0]):04x}", text)


def echo(line: str) -> None:
    """Print a line on stdout.

    Raises:
        OutputFailed: it cannot be written.
        BrokenPipeError: whoever read stdout has left.
    """
    with writing_stdout():
        typer.echo(line)


@contextlib.contextmanager
def writing_stdout() -> Iterator[TextIO]:
    """Have what goes wrong with stdout named; yields it.

    Raises:
        OutputFailed: it cannot be written, or was closed by whoever started this program.
        BrokenPipeError: whoever read it has left.
    """
    if sys.stdout is None:
        raise OutputFailed("the output cannot be written: stdout is closed")
    try:
        yield sys.stdout
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"the output cannot be written: {error.strerror}") from error


def _escape(code: int) -> str:
    if code in _BYTES:
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - a byte
