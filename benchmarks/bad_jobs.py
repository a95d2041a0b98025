"""Measures the latency of good jobs of the queue, alone and beside poison jobs.

Servers, workers and transcriber processes are real, with one slot each; S3 and SQS are emulated.
Each recording is a script for the transcriber (`tests/support/scripted_transcriber.py`): a good one
takes half a second; a bad one makes it raise, raise and then fail always, kill its process, or hang
until the process is killed. Two servers get the same good jobs at the same random moments, and one
of them also bad ones, so that other load of the machine affects both alike. Latency is the time
from a job's message to its transcript.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Final

import aiohttp

from benchmarks.figures import format_target, quantile, table
from benchmarks.lanes import LOOK, Jobs, until_healthy
from benchmarks.servers import START_SECONDS, running
from local_cloud.emulator.process import Emulator

#: What a good recording takes, seconds.
WORK: Final = 0.5
#: What is bad about the bad ones, one after the other.
DEEDS: Final = ("raise", "die", "break", "hang")
#: How long a process may give no sign of life, seconds; ten minutes in a real server.
STALL: Final = 1.0
#: After so many seconds a bad job is tried again, then after twice as many; as in truth.
FIRST_RETRY: Final = 60
#: With bad jobs beside them, the good ones' p95 is at most so many times what it is without.
RATIO: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    good: int = 150
    #: A bad job for so many good ones.
    good_for_a_bad: int = 10
    #: Between two good jobs, on average; seconds.
    between: float = 1.0

    @property
    def bad(self) -> int:
        """About how many bad jobs that makes; each is tried several times."""
        return self.good // self.good_for_a_bad


QUICK: Final = Plan(good=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Latencies of good jobs, seconds."""

    alone: Sequence[float]
    beside: Sequence[float]

    @property
    def ratio(self) -> float:
        """Of the two p95."""
        return _p95(self.beside) / _p95(self.alone)


def run(plan: Plan, progress: Callable[[str], None]) -> Result:
    """Measure.

    Raises:
        ServerError: the server did not start.
    """
    return asyncio.run(_run(plan, progress))


async def _run(plan: Plan, progress: Callable[[str], None]) -> Result:
    progress(f"bad jobs: {plan.good} good ones at two servers, {plan.bad} bad ones at one of them")
    with tempfile.TemporaryDirectory() as data:
        async with (
            Emulator(Path(data, "cloud")) as emulator,
            _queue(emulator, "alone") as alone,
            _queue(emulator, "beside") as beside,
        ):
            bad = asyncio.create_task(_bad(plan, beside))
            try:
                latencies = await asyncio.gather(_good(plan, alone), _good(plan, beside))
            finally:
                bad.cancel()
                await asyncio.gather(bad, return_exceptions=True)
    return Result(alone=latencies[0], beside=latencies[1])


@asynccontextmanager
async def _queue(emulator: Emulator, name: str) -> AsyncIterator[Jobs]:
    """Yield a bucket and a queue with a server that works it off."""
    jobs = Jobs(emulator, name)
    settings = {
        "PORT": "0",
        "STALL_SECONDS": f"{STALL:g}",
        "VISIBILITY_SECONDS": "30",
        "FIRST_RETRY": str(FIRST_RETRY),
    }
    command = [sys.executable, "-m", "tests.support.scripted_server"]
    with running(f"the server {name}", command, jobs.environment | settings) as server:
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
            await until_healthy(server, session)
        yield jobs


async def _latency(jobs: Jobs) -> float:
    """Have a good job done; return how long that took, seconds."""
    began = perf_counter()
    key = await _send(jobs, f"take {WORK}")
    while not await asyncio.to_thread(jobs.bucket.objects.exists, key):  # noqa: ASYNC110 - S3 announces nothing
        await asyncio.sleep(LOOK)
    return perf_counter() - began


async def _send(jobs: Jobs, deed: str) -> str:
    """Send a recording that sets what the transcriber does; return the transcript's key."""
    return await jobs.send("scripted.wav", deed.encode())


async def _good(plan: Plan, queue: Jobs) -> list[float]:
    chance = random.Random(7)  # noqa: S311 - no secret
    jobs = []
    for _ in range(plan.good):
        jobs.append(asyncio.create_task(_latency(queue)))
        await asyncio.sleep(chance.expovariate(1 / plan.between))
    return await asyncio.gather(*jobs)


async def _bad(plan: Plan, queue: Jobs) -> None:
    chance = random.Random(11)  # noqa: S311 - no secret
    for deed in cycle(DEEDS):
        await asyncio.sleep(chance.expovariate(1 / plan.between / plan.good_for_a_bad))
        await _send(queue, deed)


def _p95(seconds: Sequence[float]) -> float:
    return quantile(seconds, 0.95)


def report(result: Result) -> str:
    """Return the table, and whether the target is met."""
    rows = [
        (name, len(seconds), *(quantile(seconds, share) for share in (0.5, 0.95, 1.0)))
        for name, seconds in (("good jobs alone", result.alone), ("beside bad", result.beside))
    ]
    ratio = f"p95 beside bad jobs: {result.ratio:.2f} of what it is without, at most {RATIO}"
    return "\n".join(
        [
            table(("run", "jobs", "p50 s", "p95 s", "max s"), rows),
            "",
            format_target(ratio, is_kept=result.ratio <= RATIO),
        ]
    )
