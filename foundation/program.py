"""How an operator's command prints and ends, also where nobody reads it. Standard library only.

    if __name__ == "__main__":
        program.end(main)

Exit codes, as those of the client: 7 the output cannot be written, 130 interrupted, or whoever read
the output has left, as `head` does. Nothing of it prints a stack trace.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn

EXIT_OUTPUT: Final = 7
EXIT_INTERRUPTED: Final = 130


class OutputFailed(Exception):
    """Stdout cannot be written; the text has the reason."""


class OutputLeft(OutputFailed):
    """Whoever read stdout has left."""


def show(text: str) -> None:
    """Print a result on stdout.

    Raises:
        OutputFailed: it cannot be written, or was closed by whoever started this program.
        OutputLeft: whoever read it has left.
    """
    if sys.stdout is None:
        raise OutputFailed("stdout is closed")
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise OutputLeft from error
    except OSError as error:
        raise OutputFailed(error.strerror or str(error)) from error


def note(text: str, *, end: str = "\n") -> None:
    """Print a remark on stderr; where nobody can read it, it is dropped."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(f"{text}{end}")
            sys.stderr.flush()
        except OSError:
            _leave(sys.stderr.fileno())


def end(main: Callable[[], int]) -> NoReturn:
    """Run a command and end this process with its exit code."""
    code: int | str | None
    try:
        code = main()
    except SystemExit as leaving:  # argparse has printed something
        code = leaving.code
    except OutputLeft:
        code = EXIT_INTERRUPTED
    except OutputFailed as error:
        note(f"The output cannot be written: {error}")
        code = EXIT_OUTPUT
    except KeyboardInterrupt:
        note("\nInterrupted.")
        code = EXIT_INTERRUPTED
    # Python would write once more what could not be written, and complain.
    with contextlib.suppress(AttributeError):  # it is closed
        try:
            sys.stdout.flush()
        except OSError:
            _leave(sys.stdout.fileno())
    sys.exit(code)


def _leave(descriptor: int) -> None:
    """Point an output to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
