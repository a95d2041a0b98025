"""Measures how many people can speak at once with the embedded engine, through the service.

Every speaker sends recordings without a break, at the speed of speech, each beginning elsewhere in
them. The lag is the audio that was sent and not yet recognised, as the service's `ack`s report it.
Where the engine keeps up, it is as short in the last third of the time as in the first.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from benchmarks.figures import format_target, quantile, table
from benchmarks.servers import cloudscribe
from client.live import Speaker
from client.live.speaking import AudioStream
from speech.engines.embedded import choose_embedded
from speech.engines.registry import ENGINES
from speech.pcm import BYTES_PER_SECOND, PcmFormat
from tests.support.recordings import Recording
from transcripts.protocol import TranscribeParameters

PIECE = BYTES_PER_SECOND // 10
#: The lag at the end may exceed that at the beginning by so much, seconds.
GROWTH = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    streams_per_core: Sequence[int] = (1, 3, 5)
    seconds: float = 45.0


QUICK = Plan(streams_per_core=(1,), seconds=6.0)


@dataclass(frozen=True, slots=True)
class Lag:
    """The lag of all speakers together, seconds."""

    engine: str
    streams: int
    streams_per_core: int
    #: p50 and p95 in the first third of the time, and in the last.
    first: tuple[float, float]
    last: tuple[float, float]


def run(plan: Plan, recordings: Sequence[Recording], progress: Callable[[str], None]) -> list[Lag]:
    """Measure each number of speakers.

    Raises:
        ServerError: the service did not start, or died.
        ClientError: it refused a stream or lost it.
    """
    engine, cores = choose_embedded(), os.cpu_count() or 1
    pcm = [each.pcm() for each in recordings if each.text]
    measured = []
    for per_core in plan.streams_per_core:
        streams = per_core * cores
        progress(f"capacity: {streams} speakers with {engine}")
        slots = max(streams, ENGINES[engine].count_streams(cores))
        with cloudscribe(engine, slots=slots) as server:
            samples = asyncio.run(_speak(server.url, pcm, streams, plan.seconds))
        first, last = (
            [lag for at, lag in samples if low <= at < high]
            for low, high in ((0, plan.seconds / 3), (plan.seconds * 2 / 3, plan.seconds))
        )
        measured.append(Lag(engine, streams, per_core, _shares(first), _shares(last)))
    return measured


def _shares(lags: Sequence[float]) -> tuple[float, float]:
    return quantile(lags, 0.5), quantile(lags, 0.95)


async def _speak(
    url: str, pcm: Sequence[bytes], streams: int, seconds: float
) -> list[tuple[float, float]]:
    """Return the lags of all speakers, each with its place in the audio, seconds."""
    samples: list[tuple[float, float]] = []

    async def speak(number: int) -> None:
        parameters = TranscribeParameters(sample_rate=16_000)
        async with Speaker(url, parameters) as speaker:
            stream = AudioStream(
                speaker,
                _frames(pcm, number, seconds),
                audio=PcmFormat(16_000),
                paced=True,
            )
            await stream.run(lambda _: samples.append((stream.progress.sent, stream.progress.lag)))

    async with asyncio.TaskGroup() as group:
        for number in range(streams):
            group.create_task(speak(number))
    return samples


async def _frames(pcm: Sequence[bytes], number: int, seconds: float) -> AsyncGenerator[bytes, None]:
    start = number % len(pcm)
    audio = b"".join(itertools.chain(pcm[start:], pcm[:start]))
    for at in range(0, round(seconds * BYTES_PER_SECOND), PIECE):
        yield (audio * 2)[at % len(audio) :][:PIECE]


def report(measured: Sequence[Lag]) -> str:
    """Return the table, and whether the lag grows."""
    heads = ("engine", "speakers", "a core", "lag p50 s", "p95", "in the last third p50", "p95")
    rows = [
        (
            *(each.engine, each.streams, each.streams_per_core),
            *(f"{value:.2f}" for value in (*each.first, *each.last)),
        )
        for each in measured
    ]
    most = measured[-1]
    growth = most.last[0] - most.first[0]
    text = (
        f"{most.streams_per_core} speakers a core: the lag grows by {growth:.2f} s, "
        f"at most {GROWTH:g} s"
    )
    return "\n".join([table(heads, rows), "", format_target(text, is_kept=growth <= GROWTH)])
