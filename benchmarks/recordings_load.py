"""Polls a GPU server's health and measures the latency: `python -m benchmarks.recordings_load URL`.

It is a process of its own, so that the rest of the benchmark delays no request. Requests are sent
at fixed times, whether the last one was answered or not. The latency of each counts from when it
was sent; how late it was sent is reported as well.

It prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time

import aiohttp

from benchmarks.figures import milliseconds

#: Questions per second.
RATE = 20

#: The clock of everything here, seconds.
clock = time.perf_counter


async def ask(url: str, *, seconds: float) -> dict[str, object]:
    """Poll for so long; return the latencies, and the least load of the server meanwhile."""
    took: list[float] = []
    late: list[float] = []
    running: list[int] = []
    waiting: list[int] = []
    refused = 0

    async def question() -> None:
        nonlocal refused
        began = clock()
        async with session.get(f"{url}/health") as answer:
            body = await answer.json()
        took.append(clock() - began)
        refused += answer.status != 200
        running.append(body["queue"]["running"])
        waiting.append(body["queue"]["waiting"])

    async with aiohttp.ClientSession() as session:
        await question()  # opens the connection
        for each in (took, running, waiting):
            each.clear()
        gc.collect()
        gc.freeze()
        start = clock()
        async with asyncio.TaskGroup() as tasks:
            for number in range(round(seconds * RATE)):
                due = start + number / RATE
                await asyncio.sleep(max(0.0, due - clock()))
                late.append(clock() - due)
                tasks.create_task(question())
    return {
        "asked": len(took),
        "refused": refused,
        "health_ms": milliseconds(took),
        "late_ms": milliseconds(late),
        "running": min(running),
        "waiting": min(waiting),
    }


def main() -> None:
    """Ask the server that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recordings_load")
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    print(json.dumps(asyncio.run(ask(given.url, seconds=given.seconds))))


if __name__ == "__main__":
    main()
