"""Output and exit codes of operators' commands. Standard library only.

    if __name__ == "__main__":
        program.end(main)

Exit codes, the same as the client's: 7 if the output cannot be written; 130 if the command was
interrupted, or if the program that read its output ended early, as `head` does. None of these cases
prints a stack trace.
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
    """Stdout cannot be written; the message is the reason."""


class ReaderGone(OutputFailed):
    """The program that read stdout through a pipe has ended."""


def show(text: str) -> None:
    """Print a result on stdout.

    Raises:
        OutputFailed: stdout cannot be written, or was closed before this program started.
        ReaderGone: the program that read stdout has ended.
    """
    if sys.stdout is None:
        raise OutputFailed("stdout is closed")
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        raise OutputFailed(error.strerror or str(error)) from error


def note(text: str, *, end: str = "\n") -> None:
    """Print a remark on stderr; drop it if stderr cannot be written."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(f"{text}{end}")
            sys.stderr.flush()
        except OSError:
            _discard(sys.stderr.fileno())


def end(main: Callable[[], int]) -> NoReturn:
    """Run a command and end this process with its exit code."""
    code: int | str | None
    try:
        code = main()
    except SystemExit as leaving:  # argparse has printed something
        code = leaving.code
    except ReaderGone:
        code = EXIT_INTERRUPTED
    except OutputFailed as error:
        note(f"The output cannot be written: {error}")
        code = EXIT_OUTPUT
    except KeyboardInterrupt:
        note("\nInterrupted.")
        code = EXIT_INTERRUPTED
    # Otherwise Python itself tries to flush stdout again at exit, and prints an error.
    with contextlib.suppress(AttributeError):  # it is closed
        try:
            sys.stdout.flush()
        except OSError:
            _discard(sys.stdout.fileno())
    sys.exit(code)


def _discard(descriptor: int) -> None:
    """Redirect an output to the null device."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
