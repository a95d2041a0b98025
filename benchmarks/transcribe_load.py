"""Runs many streams to an endpoint of Amazon Transcribe, and measures CPU, memory and latency.

A process of its own, so that its CPU time and memory are those of the engine alone:

    python -m benchmarks.transcribe_load '{"streams": 20, "endpoint": "wss://...", ...}'

takes a `Load` as JSON and prints a `Cost` as JSON. Credentials and trusted certificates come from
the environment. The generator of the audio runs in the same process; without an endpoint it runs
alone, so that its share can be subtracted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from array import array
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field

import psutil
import uvloop

from benchmarks.figures import frame_of, milliseconds
from speech.engines.base import (
    Policy,
    Recognition,
    RecognitionOptions,
    Result,
)
from speech.engines.transcribe import TranscribeEngine
from speech.pcm import BYTES_PER_SECOND
from transcribe_endpoint.recognition.dictation import DICTATED_WORDS, dictate

FRAME_SECONDS = 0.1
FRAME = bytes(round(BYTES_PER_SECOND * FRAME_SECONDS))
#: Independent speakers do not speak in step: frames are spread over the 100 ms, and streams begin
#: up to so many frames after each other, which spreads their words.
SLOTS = 50
PHASES = 4
#: What is dictated in each second of hours of audio: a word from here to there, then a pause.
WORD_BEGINS, WORD_ENDS = 0.1, 0.4
#: A word's time may be off by so much, seconds.
TOLERANCE = 0.05
#: Streams are left alone for so long before anything is measured, seconds.
SETTLE_SECONDS = 2.0
#: Opening 500 TLS connections on one core takes a while.
POLICY = Policy(connect_timeout=60.0, stall_timeout=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to measure."""

    streams: int
    #: Of audio: in real time to an endpoint that reads from a script; or, if `fast`, through one
    #: stream as fast as it goes, to one that is dictated to.
    seconds: float
    #: Empty: nothing is opened, and the generator runs alone.
    endpoint: str = ""
    fast: bool = False


@dataclass(slots=True, kw_only=True)
class Cost:
    """What it took. CPU is of the whole process."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    frames: int = 0
    results: int = 0
    finals: int = 0
    #: Words that came twice, in the wrong order, at a wrong time, or never.
    wrong: int = 0
    #: Resident memory in bytes: before any stream, and in the course of the load.
    rss_before: int = 0
    rss: list[int] = field(default_factory=list)
    #: From the write of the frame in which a word ends to the partial that brings it.
    latency_ms: dict[str, float] = field(default_factory=dict)
    #: How late the generator was.
    late_ms: dict[str, float] = field(default_factory=dict)


class LatencyRecorder:
    """Records when each word of one scripted stream arrived."""

    def __init__(self, seconds: float, cost: Cost, latencies: array[float]) -> None:
        #: When each frame was written, by the monotonic clock.
        self.written = array("d", bytes(8 * (round(seconds / FRAME_SECONDS) + 1)))
        self._cost = cost
        self._latencies = latencies
        self._until = 0.0

    def on_result(self, result: Result) -> None:
        """Take a result."""
        now = time.monotonic()
        self._cost.results += 1
        self._cost.finals += result.is_final
        end = result.words[-1].end_time
        if end < self._until - 1e-6:
            self._cost.wrong += 1
        if end > self._until + 1e-6:
            self._until = end
            self._latencies.append(now - self.written[frame_of(end, FRAME_SECONDS)])


class WordChecker:
    """Checks that all dictated words of one stream arrived."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._second = 0

    def on_result(self, result: Result) -> None:
        """Take a result."""
        self._cost.results += 1
        if not result.is_final:
            return
        self._cost.finals += 1
        expected = [(f"word{self._second % DICTATED_WORDS}", self._second + WORD_BEGINS)]
        self._second += 1
        received = [(word.word, word.start_time) for word in result.words]
        if [word for word, _ in received] != [word for word, _ in expected] or any(
            abs(one - other) > TOLERANCE
            for (_, one), (_, other) in zip(received, expected, strict=True)
        ):
            self._cost.wrong += 1

    def finish(self, seconds: float) -> None:
        """Count what is missing at the end."""
        self._cost.wrong += abs(round(seconds) - self._second)


async def in_real_time(load: Load, cost: Cost) -> None:
    """Write a frame of every stream each 100 ms; measure after the first moments."""
    latencies, late = array("d"), array("d")
    process = psutil.Process()
    cost.rss_before = process.memory_info().rss
    settle = round(SETTLE_SECONDS / FRAME_SECONDS)
    total = settle + round(load.seconds / FRAME_SECONDS)
    recorders = [
        LatencyRecorder(total * FRAME_SECONDS, cost, latencies) for _ in range(load.streams)
    ]
    async with AsyncExitStack() as stack:
        recognitions = await _opened(load, stack, recorders)
        writers = [one.write for one in recognitions] or [_nothing] * load.streams
        streams = list(
            zip(writers, recorders, (n // SLOTS % PHASES for n in range(load.streams)), strict=True)
        )
        began = time.monotonic()
        cpu = wall = 0.0
        for number in range(total):
            if number == settle:
                cpu, wall = time.process_time(), time.monotonic()
                del late[:], latencies[:]
            for slot in range(min(SLOTS, load.streams)):
                due = began + (number + slot / SLOTS) * FRAME_SECONDS
                if (wait := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                late.append(max(0.0, time.monotonic() - due))
                for write, recorder, phase in streams[slot::SLOTS]:
                    if number >= phase:
                        recorder.written[number - phase] = time.monotonic()
                        write(FRAME)
                        cost.frames += number >= settle
            if not number % 10:
                cost.rss.append(process.memory_info().rss)
        cost.cpu_seconds = time.process_time() - cpu
        cost.wall_seconds = time.monotonic() - wall
        await _finished(recognitions)
    cost.late_ms = milliseconds(late)
    cost.latency_ms = milliseconds(latencies)


async def as_fast_as_it_goes(load: Load, cost: Cost) -> None:
    """Dictate hours of audio to one stream, waiting whenever the engine asks for it."""
    process = psutil.Process()
    cost.rss_before = process.memory_info().rss
    proofreader = WordChecker(cost)
    seconds = round(load.seconds)
    frame = len(FRAME)
    async with AsyncExitStack() as stack:
        (recognition,) = await _opened(load, stack, [proofreader])
        cpu, wall = time.process_time(), time.monotonic()
        for second in range(seconds):
            words = [(second % DICTATED_WORDS, WORD_BEGINS, WORD_ENDS)]
            pcm = dictate(words, seconds=1.0)
            for start in range(0, len(pcm), frame):
                recognition.write(pcm[start : start + frame])
                cost.frames += 1
            if recognition.backlogged:
                await recognition.drain()
            await asyncio.sleep(0)
            if not second % max(1, seconds // 16):
                cost.rss.append(process.memory_info().rss)
        await _finished([recognition])
        cost.cpu_seconds = time.process_time() - cpu
        cost.wall_seconds = time.monotonic() - wall
        cost.rss.append(process.memory_info().rss)
    proofreader.finish(seconds)


async def _opened(
    load: Load, stack: AsyncExitStack, recorders: Sequence[LatencyRecorder | WordChecker]
) -> list[Recognition]:
    """Open a stream for each recorder; none without an endpoint."""
    recognitions: list[Recognition] = []
    if load.endpoint:
        warm = await stack.enter_async_context(
            TranscribeEngine(
                region="us-east-1",
                endpoint=load.endpoint,
                policy=POLICY,
                starts_per_second=100,
            )
        )
        for recorder in recorders:
            recognition = warm.recognise(RecognitionOptions(), recorder.on_result)
            recognitions.append(await stack.enter_async_context(recognition))
    gc.collect()
    gc.freeze()  # as the service does
    return recognitions


async def _finished(recognitions: list[Recognition]) -> None:
    for recognition in recognitions:
        recognition.end()
    await asyncio.gather(*(recognition.finished() for recognition in recognitions))


def _nothing(pcm: bytes) -> None:
    """Write to nowhere."""
    del pcm


def main() -> int:
    """Measure the load of the command line; print what it took."""
    load = Load(**json.loads(sys.argv[1]))
    cost = Cost()
    uvloop.run(as_fast_as_it_goes(load, cost) if load.fast else in_real_time(load, cost))
    print(json.dumps(asdict(cost)))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    sys.exit(main())
