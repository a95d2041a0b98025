"""What Ctrl-C and SIGTERM do to a command."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator


def cancel_this_task() -> Callable[[], object]:
    """Return what cancels the task that runs now."""
    task = asyncio.current_task()
    return task.cancel if task is not None else lambda: None


@contextlib.contextmanager
def on_interrupt(
    action: Callable[[], object],
) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Let Ctrl-C and SIGTERM run `action`; yields a way to put another in its place."""
    loop = asyncio.get_running_loop()

    def listen(action: Callable[[], object]) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # Windows has no such handlers: there Ctrl-C ends the program at once.
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, action)

    listen(action)
    try:
        yield listen
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
