"""Kill everything that `make demo` runs, right after a viewer saw finals, and start it again.

    .venv/bin/python -m tests.support.kill_drill [RUNS [SEED [LATEST]]]

kills at a random moment, at most LATEST seconds after the first final, and prints a line for each
run: how many finals the viewer saw, when everything was killed, how many of them the table has
after the next start, and how soon. The exit code is 1 if a final was lost or stored twice.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from client.live import Speaker, Viewer
from local_cloud.emulator.process import Emulator
from local_cloud.stacks import deployment
from tests.support.demo import RunningDemo, ready_demo
from tests.support.eventually import eventually
from tests.support.utterances import conversation
from transcripts.conversations import PARTITION_KEY, SORT_KEY
from transcripts.protocol import ConnectParameters, Final, TranscribeParameters

CHUNK = bytes(3_200)  # 100 ms at 16 kHz
#: Runs, seed, and latest kill in seconds: the emulator saves its state every two. After 30 seconds
#: finals begin to leave the journal, so 45 shows that, too.
DEFAULTS = (12, 1, 5)
#: How long a final may take into the table after the next start, seconds.
PATIENCE = 75.0


@dataclass(frozen=True, slots=True)
class Drill:
    """What one run showed. `copies` counts the table's items of each final that was seen."""

    seen: list[str]
    killed_after: float
    copies: Counter[str]
    stored_after: float

    @property
    def lost(self) -> int:
        return sum(not self.copies[each] for each in self.seen)

    @property
    def doubled(self) -> int:
        return sum(self.copies[each] > 1 for each in self.seen)

    def __str__(self) -> str:
        return (
            f"{len(self.seen)} finals seen, killed after {self.killed_after:.2f} s: "
            f"{self.lost} lost, {self.doubled} stored twice, {self.stored_after:.1f} s after Ready"
        )


async def drill(folder: Path, killed_after: float) -> Drill:
    """Run the demo in `folder`, kill it so many seconds after the first final, start it again."""
    talk = conversation()
    async with ready_demo(folder) as demo:
        seen = await _watch_and_kill(demo, talk, killed_after)
    async with ready_demo(folder) as demo:
        await demo.until("named in")  # the line that names the emulator's address
        began = time.monotonic()
        copies = await _copies(demo, folder, talk, seen)
        return Drill(seen, killed_after, copies, time.monotonic() - began)


async def _watch_and_kill(demo: RunningDemo, talk: str, after: float) -> list[str]:
    """Return the finals that a viewer saw until everything was killed."""
    seen: list[str] = []
    first = asyncio.Event()

    async def watch() -> None:
        with suppress(Exception):  # the connection's end is the kill's
            async with Viewer(demo.url, ConnectParameters(conversation_id=talk)) as viewer:
                async for message in viewer:
                    if isinstance(message, Final):
                        seen.append(message.utterance_id)
                        first.set()

    async def speak() -> None:
        parameters = TranscribeParameters(sample_rate=16_000, conversation_id=talk)
        with suppress(Exception):
            async with Speaker(demo.url, parameters) as speaker:
                while True:
                    await speaker.send(CHUNK)
                    await asyncio.sleep(0.01)  # ten times as fast as people speak

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        speaking = tasks.create_task(speak())
        await asyncio.wait_for(first.wait(), 30)
        await asyncio.sleep(after)
        everything = [psutil.Process(demo.process.pid), *demo.children()]
        for process in everything:
            process.suspend()  # so that nobody lives on a moment longer than the others
        for process in everything:
            process.kill()
        await demo.process.wait()
        await watching
        speaking.cancel()
    psutil.wait_procs(everything[1:], timeout=10)
    return seen


async def _copies(demo: RunningDemo, folder: Path, talk: str, seen: list[str]) -> Counter[str]:
    """Return how many items of the table each final has, once none is missing or it is too late."""
    emulator = Emulator(folder / "aws")
    emulator._endpoint = _endpoint(demo)  # the demo's, which is another process's child
    table = deployment.Deployment(folder / "aws").resources().table_name
    pages = emulator.client("dynamodb").get_paginator("query")

    def look() -> Counter[str]:
        found = pages.paginate(
            TableName=table,
            ConsistentRead=True,
            KeyConditionExpression="#talk = :talk",
            ExpressionAttributeNames={"#talk": PARTITION_KEY},
            ExpressionAttributeValues={":talk": {"S": talk}},
        )
        keys = [item[SORT_KEY]["S"] for page in found for item in page["Items"]]
        return Counter(key.partition("#")[2] for key in keys)

    async def complete() -> bool:
        return set(seen) <= set(await asyncio.to_thread(look))

    with suppress(AssertionError):
        await eventually(complete, "all that was seen is stored", within=PATIENCE, every=0.2)
    return await asyncio.to_thread(look)


def _endpoint(demo: RunningDemo) -> str:
    [line] = [each for each in demo.printed if each.strip().startswith("AWS:")]
    return line.split()[2].rstrip(";")


async def main(runs: int, seed: int, latest: int) -> int:
    """Run the drill so often, each time in a folder of its own; return the exit code."""
    moments = random.Random(seed)  # noqa: S311 - moments, no secrets
    failed = 0
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            outcome = await drill(Path(folder), moments.uniform(0, latest))
        failed += bool(outcome.lost or outcome.doubled)
        print(f"run {number}: {outcome}", flush=True)  # noqa: T201 - a program's output
    print(f"{failed} of {runs} runs lost or doubled a final")  # noqa: T201 - the same
    return int(failed > 0)


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:4]]
    sys.exit(asyncio.run(main(*given, *DEFAULTS[len(given) :])))
