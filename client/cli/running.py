"""Turn functions into commands, and their exceptions into messages and exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar

import typer

from client.cli.printing import print_error
from client.errors import ClientError, ExitCode, FileFailed, NoConnection, NoStorage, OutputFailed
from client.live.endpoints import URL_VARIABLE

#: For the end of each command's help.
EXIT_CODES = "Exit codes: " + "; ".join(f"{code:d} {code.meaning}" for code in ExitCode) + "."

_NO_SERVICE: Final = f"Is it running, and is this its address? See --url, {URL_VARIABLE}."


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

P = ParamSpec("P")
T = TypeVar("T")


def interruptible_command(function: Callable[P, ExitCode]) -> Callable[P, None]:
    """Return a command for Typer that runs `function` and can be interrupted.

    The first Ctrl-C or SIGTERM raises `KeyboardInterrupt`; another one ends the program at once.
    """

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        with _interruptible():
            _run(lambda: function(*args, **kwargs))

    return command


def asyncio_command(
    function: Callable[P, Coroutine[Any, Any, ExitCode]],
) -> Callable[P, None]:
    """Return a command for Typer that runs `function` in an event loop of its own."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        _run(lambda: asyncio.run(function(*args, **kwargs)))

    return command


def run_until_interrupted(
    coroutine: Coroutine[Any, Any, T], on_interrupt: Callable[[], object]
) -> T:
    """Run a coroutine in an event loop of its own, within an `interruptible_command`.

    The first Ctrl-C or SIGTERM calls `on_interrupt` and cancels the coroutine, which may still
    clean up; another one ends the program at once.

    Raises:
        CancelledError: it was interrupted.
    """

    async def run() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(coroutine)

        def interrupt() -> None:
            for each in _SIGNALS:
                loop.remove_signal_handler(each)
                signal.signal(each, signal.SIG_DFL)
            on_interrupt()
            task.cancel()

        # Windows has no such handlers: there Ctrl-C ends the program at once.
        with contextlib.suppress(NotImplementedError):
            for each in _SIGNALS:
                loop.add_signal_handler(each, interrupt)
        return await task

    return asyncio.run(run())


def _run(command: Callable[[], ExitCode]) -> None:
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
def _interruptible() -> Iterator[None]:
    """See `interruptible_command`; in the main thread only."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.default_int_handler(number, frame)

    before = [(number, signal.signal(number, interrupt)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
