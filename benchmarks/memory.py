"""Measures the memory of the service while an engine cannot keep up.

Speakers send as fast as they can to an engine that takes twice as long as the audio lasts. The
service must stop reading, and its memory must not grow with the audio that is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.figures import table
from benchmarks.servers import Server, cloudscribe
from client.live import Speaker
from speech.pcm import PcmFormat
from transcripts.protocol import TranscribeParameters

AUDIO = PcmFormat(16_000)
FRAME = bytes(AUDIO.bytes_per_second // 10)
#: A tenth of a second of audio is worked on for a fifth.
REAL_TIME_FACTOR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    streams: int = 20
    seconds: float = 120.0


QUICK = Plan(streams=2, seconds=3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """Resident memory in bytes: before any stream, at half time, at the end."""

    streams: int
    seconds: float
    #: Seconds of audio, of all streams together.
    offered: float
    rss_before: int
    rss_early: int
    rss_late: int

    @property
    def growth_per_minute(self) -> float:
        """Growth of memory in the second half, when every queue is full, in bytes per minute."""
        return (self.rss_late - self.rss_early) / (self.seconds / 2) * 60


def run(plan: Plan, progress: Callable[[str], None]) -> Flood:
    """Flood the service and watch its memory.

    Raises:
        ServerError: the service did not start, or died.
        ClientError: it ended a stream.
    """
    progress(f"memory: {plan.streams} streams flood a slow engine for {plan.seconds:g} s")
    scripted = f'{{"constant_factor": {REAL_TIME_FACTOR}}}'
    with cloudscribe(scripted=scripted) as server:
        return asyncio.run(_flood(server, plan))


async def _flood(server: Server, plan: Plan) -> Flood:
    before = server.rss_bytes()
    offered = 0.0

    async def speak(speaker: Speaker) -> None:
        nonlocal offered
        while True:
            await speaker.send(FRAME)
            offered += AUDIO.seconds(len(FRAME))
            await asyncio.sleep(0)  # a send that need not wait does not yield

    async def listen(speaker: Speaker) -> None:
        async for _ in speaker:
            pass

    parameters = TranscribeParameters(sample_rate=AUDIO.sample_rate)
    async with AsyncExitStack() as resources:
        tasks = []
        for _ in range(plan.streams):
            speaker = await resources.enter_async_context(Speaker(server.url, parameters))
            tasks += [asyncio.create_task(speak(speaker)), asyncio.create_task(listen(speaker))]
        began = time.monotonic()
        await asyncio.sleep(plan.seconds / 2)
        early = server.rss_bytes()
        await asyncio.sleep(plan.seconds / 2)
        late = server.rss_bytes()
        seconds = time.monotonic() - began
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
    return Flood(
        streams=plan.streams,
        seconds=seconds,
        offered=offered,
        rss_before=before,
        rss_early=early,
        rss_late=late,
    )


def report(flood: Flood) -> str:
    """Return the table."""
    heads = ("streams", "audio offered s", "RSS before MiB", "half time", "end", "growth MiB / min")
    row = (
        flood.streams,
        flood.offered,
        flood.rss_before / 2**20,
        flood.rss_early / 2**20,
        flood.rss_late / 2**20,
        flood.growth_per_minute / 2**20,
    )
    return table(heads, [row])
