"""The interface of a part, and the loop that restarts it.

PartFailed      a part does not start, or does not stay up; the message is for people
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, Protocol

from foundation.backoff import backoff
from local_cloud.logs import quote_end

#: A part that ends within this time after its start has ended quickly, seconds.
QUICK_SECONDS: Final = 10.0
#: Quick ends in a row after which the part has failed.
MAX_QUICK_ENDS: Final = 5


class PartFailed(Exception):
    """A part cannot be kept running."""


class DemoPart(Protocol):
    """A process that can be started again."""

    name: str
    log: Path

    async def start(self) -> None:
        """Start the process and wait until it serves.

        Raises:
            PartFailed: it does not start, or not serve in time.
        """

    async def wait(self) -> int:
        """Wait until the process ends; return its exit code."""

    async def stop(self) -> None:
        """End the process gracefully, or by force after a while. May be called twice."""

    def kill(self) -> None:
        """Kill the process and all that it has started."""


async def keep_running(part: DemoPart, show: Callable[[str], None]) -> NoReturn:
    """Start a part again whenever it ends.

    Args:
        part: one that was started.
        show: prints a line for the user.

    Raises:
        PartFailed: it ended too often too quickly; the message quotes the end of its log.
    """
    quick_ends = 0
    reason = ""
    while True:
        began = time.monotonic()
        if not reason:
            reason = describe_exit(await part.wait())
        quick_ends = quick_ends + 1 if time.monotonic() - began < QUICK_SECONDS else 1
        if quick_ends > MAX_QUICK_ENDS:
            raise PartFailed(f"{part.name} {reason}, time and again.{quote_end(part.log)}")
        delay = restart_delay(quick_ends)
        show(f"{part.name} {reason}; it is started again in {delay:g} s")
        await asyncio.sleep(delay)
        try:
            await part.start()
        except PartFailed:
            reason = "did not start"
        else:
            reason = ""
            show(f"{part.name} runs again")


def restart_delay(quick_ends: int) -> float:
    """Return the seconds to wait before the next start: 0.5, 1, 2, 4."""
    return backoff(max(1, quick_ends), first=0.5, jitter=0)


def describe_exit(status: int) -> str:
    """Return an exit code in words."""
    number = -status if status < 0 else status - 128
    if status < 0 or status > 128:  # noqa: PLR2004 - a shell returns 128 + N for signal N
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(number).name}"
    return f"ended with status {status}"


def kill_group(pid: int) -> None:
    """Kill every process of the group that `pid` leads; each part leads a group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
