"""Measures recordings through the GPU server and by the engine alone, and the server's health.

The same recordings go to a running server on the loopback, by requests and by the queue of jobs,
and to the same transcriber in a process of its own. The three alternate. A slot gets the next
recording when it has finished the last, so that the order is the same for all: with more requests
than slots the smallest file would arrive first, and a long one left for the end would measure the
order rather than the server. There is one more job in the queue than slots, because the worker
prefetches one. CPU is that of the server and its transcribers, or of the transcriber alone. The CPU
of the client and of the emulated cloud is not counted, but slows the machine down.

The embedded engine does real work. faster-whisper with the tests' weights costs next to nothing, so
it shows best what the server itself needs for a recording; no target is about that ratio.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final

import aiohttp

from benchmarks import health
from benchmarks.figures import format_target, table
from benchmarks.lanes import Caller, Jobs, Lane, engine, loaded, server_for_recordings
from benchmarks.recognition import find_recordings
from benchmarks.servers import Server, cpu_seconds
from gpu_server.work.worker import PREFETCH
from local_cloud.emulator.process import Emulator
from speech.decode import decode
from speech.pcm import SAMPLE_RATE
from speech.transcribers.choice import TranscriberSpec
from tests.support.recordings import flite, wav

#: The way of those that are compared with.
ALONE: Final = "alone"
#: Of the engine's audio hours per hour and core, the server has at least this share.
SHARE: Final = 0.95
HEALTH_MS: Final = 50.0
#: Recordings for each core until the two change turns: a busy machine is another soon.
PER_CORE: Final = 2
SENTENCES: Final = (
    "The quick brown fox jumps over the lazy dog, and then it runs away into the forest.",
    "She had your dark suit in greasy wash water all year.",
    "A recording that was made on the road is longer than one that was made at home.",
    "Nobody knows what the weather will be like tomorrow morning.",
    "Please call me back as soon as you have heard this message.",
    "Seven of the nine boxes were still empty when we came back.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. `recordings` limits their number, the shortest first."""

    slots: Sequence[int] = (1, os.cpu_count() or 1)
    rounds: int = 3
    recordings: int | None = None
    health: health.Plan = health.FULL


QUICK: Final = Plan(slots=(1,), rounds=1, recordings=4, health=health.QUICK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Some recordings, once. Times are seconds."""

    audio: float
    clock: float
    cpu: float
    #: What of it the server's own process took, besides its transcribers.
    own: float
    #: Text and duration by recording.
    transcripts: dict[str, tuple[str, float]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A transcriber with so many slots: passes of it alone, and of the server, alternating.

    `way` is the way in: `requests` or `queue`.
    """

    transcriber: str
    slots: int
    way: str
    alone: Sequence[Pass]
    server: Sequence[Pass]

    @property
    def cpu_share(self) -> float:
        """Audio per CPU time of the server by that of the engine, as a rule."""
        return self._share(lambda one: one.cpu)

    @property
    def clock_share(self) -> float:
        """Audio per time of the server by that of the engine, as a rule."""
        return self._share(lambda one: one.clock)

    @property
    def own_share(self) -> float:
        """Of the server's CPU time, the part that its transcribers took."""
        return 1 - sum(one.own for one in self.server) / sum(one.cpu for one in self.server)

    @property
    def own_per_recording(self) -> float:
        """CPU seconds that the server's own process takes for each recording."""
        return sum(one.own for one in self.server) / sum(
            len(one.transcripts) for one in self.server
        )

    @property
    def different(self) -> int:
        """Recordings for which the server's transcript differs from the engine's."""
        return sum(
            served.transcripts[name] != expected
            for alone, served in zip(self.alone, self.server, strict=True)
            for name, expected in alone.transcripts.items()
        )

    def _share(self, of: Callable[[Pass], float]) -> float:
        both = list(zip(self.alone, self.server, strict=True))
        return middle([(of(alone) / of(served), alone.audio) for alone, served in both])


def middle(weighted: Sequence[tuple[float, float]]) -> float:
    """Return the median of (value, weight): half of the weight is on values up to it.

    Passes differ in length, and a neighbour on the machine spoils some of them; so neither a plain
    median nor a sum would do.
    """
    left = sum(weight for _, weight in weighted) / 2
    for value, weight in sorted(weighted):
        left -= weight
        if left <= 0:
            return value
    raise ValueError("no values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All figures."""

    pairs: Sequence[Pair]
    health: health.Health


def run(plan: Plan, progress: Callable[[str], None]) -> Result | None:
    """Measure; None where there is no speech to be had.

    Raises:
        ServerError: a server or an engine did not start, died, or refused something.
    """
    with _speech() as available:
        if not available:
            return None
        paths = available[: plan.recordings]
        embedded = TranscriberSpec(kind="embedded")
        pairs = [
            pair
            for slots in sorted(set(plan.slots))
            for pair in asyncio.run(_pairs(embedded, slots, plan.rounds, paths, progress))
        ]
        if importlib.util.find_spec("faster_whisper"):
            from tests.support.whisper_models import whisper_model  # noqa: PLC0415 - heavy

            with tempfile.TemporaryDirectory() as folder:
                model = whisper_model(Path(folder, "chosen-weights"))
                spec = TranscriberSpec(kind="faster-whisper", model=str(model))
                pairs += asyncio.run(_pairs(spec, 1, plan.rounds, paths, progress))
        progress(f"recordings: health under full load, {plan.health.seconds:g} s")
        state = asyncio.run(health.measure(plan.health, paths, slots=max(plan.slots)))
    return Result(pairs=pairs, health=state)


# --- what is transcribed ----------------------------------------------------------------------


@contextlib.contextmanager
def _speech() -> Iterator[list[Path]]:
    """Give recordings, the shortest first: real ones, else spoken by flite, else none."""
    if real := find_recordings():
        yield [each.path for each in sorted(real, key=lambda each: each.seconds)]
        return
    if shutil.which("flite") is None:
        yield []
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, (voice, text) in enumerate(
            (voice, text) for voice in ("rms", "slt") for text in SENTENCES
        ):
            paths.append(Path(folder, f"{number}.wav"))
            wav(paths[-1], flite(text, voice))
        yield sorted(paths, key=_seconds)


def _seconds(path: Path) -> float:
    return sum(map(len, decode(path))) / 2 / SAMPLE_RATE


# --- throughput -------------------------------------------------------------------------------


async def _pairs(
    spec: TranscriberSpec,
    slots: int,
    rounds: int,
    paths: Sequence[Path],
    progress: Callable[[str], None],
) -> list[Pair]:
    """Return a pair for each way in."""
    settings: dict[str, object] = {"transcriber": spec.kind, "slots": slots}
    if spec.model is not None:
        settings["model"] = spec.model
    async with contextlib.AsyncExitStack() as stack:
        engines: list[Lane] = [await stack.enter_async_context(engine(spec)) for _ in range(slots)]
        data = stack.enter_context(tempfile.TemporaryDirectory())
        emulator = await stack.enter_async_context(Emulator(Path(data, "cloud")))
        jobs = Jobs(emulator, "recordings-of-the-benchmark")
        server = stack.enter_context(server_for_recordings(settings, jobs.environment))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await loaded(server, session, slots, paths)
        lanes: dict[str, Sequence[Lane]] = {
            ALONE: engines,
            "requests": [Caller(server, session)] * slots,
            # One more, as the worker takes one more.
            "queue": [jobs] * (slots + PREFETCH),
        }
        passes: dict[str, list[Pass]] = {way: [] for way in lanes}
        for lane in lanes.values():
            await _pass(lane, [paths[0]] * slots)  # what is loaded on first use is loaded now
        some = PER_CORE * slots
        ways = deque(lanes)
        for number in range(rounds):
            progress(f"recordings: {spec.kind}, {slots} at a time, round {number + 1}")
            for first in range(0, len(paths), some):
                for way in ways:
                    part = paths[first : first + some]
                    passes[way].append(
                        await _pass(lanes[way], part, None if way == ALONE else server)
                    )
                ways.rotate()
            spent = (f"{way} {sum(p.cpu for p in each):.1f}" for way, each in passes.items())
            progress(f"  CPU seconds: {', '.join(spent)}")
    alone = passes.pop(ALONE)
    return [
        Pair(transcriber=spec.kind, slots=slots, way=way, alone=alone, server=each)
        for way, each in passes.items()
    ]


async def _pass(lanes: Sequence[Lane], paths: Sequence[Path], server: Server | None = None) -> Pass:
    """Have the recordings transcribed, the longest first, so that no lane is left alone long."""
    waiting = list(paths)
    transcripts: dict[str, tuple[str, float]] = {}
    cpu = 0.0

    async def work(lane: Lane) -> None:
        nonlocal cpu
        while waiting:
            path = waiting.pop()
            text, duration, spent = await lane.transcribe(path)
            transcripts[path.name] = text, duration
            cpu += spent

    before, own = (server.cpu_seconds(), cpu_seconds(server.process)) if server else (0.0, 0.0)
    began = perf_counter()
    await asyncio.gather(*map(work, lanes))
    clock = perf_counter() - began
    if server:
        cpu, own = server.cpu_seconds() - before, cpu_seconds(server.process) - own
    audio = sum(duration for _, duration in transcripts.values())
    return Pass(audio=audio, clock=clock, cpu=cpu, own=own, transcripts=transcripts)


# --- the report -------------------------------------------------------------------------------


def figures(result: Result) -> dict[str, object]:
    """Return everything measured, for programs; without the transcripts."""
    state = asdict(result)
    for pair in state["pairs"]:
        for one in (*pair["alone"], *pair["server"]):
            del one["transcripts"]
    return state


def report(result: Result) -> str:
    """Return the tables, and which targets are met."""
    heads = (
        "transcriber",
        "slots",
        "way in",
        "engine: audio h / CPU h",
        "server",
        "share",
        "engine: audio h / h and core",
        "server",
        "share",
        "transcribers' part of CPU",
        "own CPU ms / recording",
    )
    rows = [_row(pair) for pair in result.pairs]
    state = result.health
    asked = (
        state.slots,
        state.waiting,
        state.upload_rate / 2**20,
        state.asked,
        *state.health_ms.values(),
        state.late_ms["p99"],
    )
    return "\n".join(
        [
            table(heads, rows),
            "",
            table(
                (
                    "busy slots",
                    "waiting",
                    "uploads MiB/s",
                    "asked",
                    "health p50 ms",
                    "p95",
                    "p99",
                    "max",
                    "late p99",
                ),
                [asked],
            ),
            "",
            *verdicts(result),
        ]
    )


def _row(pair: Pair) -> tuple[object, ...]:
    def rate(passes: Sequence[Pass], of: Callable[[Pass], float]) -> float:
        return sum(one.audio for one in passes) / sum(map(of, passes))

    return (
        pair.transcriber,
        pair.slots,
        pair.way,
        rate(pair.alone, lambda one: one.cpu),
        rate(pair.server, lambda one: one.cpu),
        f"{pair.cpu_share:.3f}",
        rate(pair.alone, lambda one: one.clock * pair.slots),
        rate(pair.server, lambda one: one.clock * pair.slots),
        f"{pair.clock_share:.3f}",
        f"{pair.own_share:.3f}",
        pair.own_per_recording * 1000,
    )


def verdicts(result: Result) -> list[str]:
    """Return a line for each target."""
    lines = []
    for pair in result.pairs:
        name = f"{pair.transcriber}, {pair.slots} at a time, {pair.way}"
        if pair.transcriber == "embedded":
            for what, share in (("CPU", pair.cpu_share), ("time", pair.clock_share)):
                text = f"{name}: {share:.3f} of the engine's audio by {what}, at least {SHARE}"
                lines.append(format_target(text, is_kept=share >= SHARE))
        text = f"{name}: transcripts that differ: {pair.different}"
        lines.append(format_target(text, is_kept=not pair.different))
    state = result.health
    full = state.running == state.slots and state.waiting >= health.WAITING
    p99 = state.health_ms["p99"]
    text = (
        f"health under full load, p99: {p99:.1f} ms, at most {HEALTH_MS:.0f} ms"
        + ("" if full else " (the load was not full all the time)")
        + (f" ({state.refused} answers were not 200)" if state.refused else "")
    )
    return [*lines, format_target(text, is_kept=p99 <= HEALTH_MS and not state.refused and full)]
