"""Run a command: what it raises becomes a message on stderr and an exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

import typer

from client.cli.printing import print_error
from client.errors import ClientError, ExitCode, FileFailed, NoConnection, NoStorage, OutputFailed
from client.live.endpoints import URL_VARIABLE

#: For the end of each command's help.
EXIT_CODES = "Exit codes: " + "; ".join(f"{code:d} {code.meaning}" for code in ExitCode) + "."

_NO_SERVICE: Final = f"Is it running, and is this its address? See --url, {URL_VARIABLE}."


def run(command: Callable[[], ExitCode]) -> None:
    """Run a command, and turn what went wrong into a line on stderr and an exit code."""
    try:
        code = command()
    except ClientError as error:
        is_service = isinstance(error, NoConnection) and not isinstance(error, NoStorage)
        print_error(error, *((_NO_SERVICE,) if is_service else ()))
        if isinstance(error, OutputFailed) and not isinstance(error, FileFailed):
            _leave_stdout()
        code = error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left, as `head` does.
        _leave_stdout()
        code = ExitCode.INTERRUPTED
    raise typer.Exit(code)


def _leave_stdout() -> None:
    """Point stdout to nowhere: Python flushes it once more at the end."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM raise `KeyboardInterrupt`; another one ends at once.

    For commands without an event loop, and in the main thread only.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        signal.default_int_handler(number, frame)

    before = [(number, signal.signal(number, interrupt)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
