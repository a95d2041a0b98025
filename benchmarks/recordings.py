"""Recordings through the server, beside the engine alone, and the server's health under full load.

Throughput: the same recordings go to a running server on the loopback, and to the transcriber that
it uses in a process of its own with nothing around it. The two take turns. In both, a slot gets the
next recording when it is done with the last, so that both have the same order: with more requests
than slots the smallest file would arrive first, and a long one left for the end tells more of the
order than of the server. CPU is that of the server and its transcribers, and of the transcriber
alone; the client's is not counted, but it takes its share of the machine, and so of the time.

The embedded engine does real work. faster-whisper with weights of the tests costs next to nothing,
so it shows best what the server itself takes for a recording; no promise is about that ratio.

Health: every slot has a recording of many minutes, three more wait, and large files come in, each
of which is given up when it is complete. A process of its own asks (`benchmarks.recordings_load`).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import wave
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Protocol

import aiohttp

from benchmarks.bare_engine import SPEC
from benchmarks.figures import table
from benchmarks.recognition import find_recordings
from benchmarks.servers import ROOT, START_SECONDS, Server, ServerError, cpu_seconds, running
from speech.decode import decode
from speech.engines.base import SAMPLE_RATE
from speech.transcribers.choice import TranscriberSpec

#: Of the engine's audio hours per hour and core, the server has at least this share.
SHARE: Final = 0.95
HEALTH_MS: Final = 50.0
#: Recordings for each core until the two change turns: a busy machine is another soon.
PER_CORE: Final = 2
#: Recordings that wait while the server's health is asked for.
WAITING: Final = 3
UPLOADS: Final = 2
BLOCK: Final = 64 * 1024
BOUNDARY: Final = "a-recording"

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
    health_seconds: float = 90.0
    #: Seconds of the recordings in work and of those that wait.
    work_seconds: float = 1800.0
    #: Of each file that comes in meanwhile, bytes.
    upload_bytes: int = 100 * 1024**2


QUICK: Final = Plan(
    slots=(1,), rounds=1, recordings=4, health_seconds=3, work_seconds=120, upload_bytes=8 * 1024**2
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Some recordings, once. Times are seconds."""

    audio: float
    clock: float
    cpu: float
    #: What of it the server's own process took, besides its transcribers.
    own: float
    #: What was said, and the duration, by recording.
    said: dict[str, tuple[str, float]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A transcriber with so many slots: passes of it alone, and of the server in turn."""

    transcriber: str
    slots: int
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
        return sum(one.own for one in self.server) / sum(len(one.said) for one in self.server)

    @property
    def different(self) -> int:
        """Recordings of which the server has made something else than the engine."""
        return sum(
            served.said[name] != expected
            for alone, served in zip(self.alone, self.server, strict=True)
            for name, expected in alone.said.items()
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
class Health:
    """`GET /health` under full load; times in milliseconds: p50, p95, p99 and max."""

    slots: int
    asked: int
    #: Answers that were not 200.
    refused: int
    health_ms: dict[str, float]
    #: How late the questions were.
    late_ms: dict[str, float]
    #: The least that was told meanwhile: recordings in work, and that waited.
    running: int
    waiting: int
    #: Bytes per second that came in.
    upload_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All figures."""

    pairs: Sequence[Pair]
    health: Health


class Lane(Protocol):
    """Takes one recording after the other."""

    async def transcribe(self, path: Path) -> tuple[str, float, float]:
        """Return text, duration and CPU time in seconds (0 where that is measured elsewhere)."""


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
            asyncio.run(_pair(embedded, slots, plan.rounds, paths, progress))
            for slots in sorted(set(plan.slots))
        ]
        if importlib.util.find_spec("faster_whisper"):
            from tests.support.whisper_models import whisper_model  # noqa: PLC0415 - heavy

            with tempfile.TemporaryDirectory() as folder:
                model = whisper_model(Path(folder, "chosen-weights"))
                spec = TranscriberSpec(kind="faster-whisper", model=str(model))
                pairs.append(asyncio.run(_pair(spec, 1, plan.rounds, paths, progress)))
        progress(f"recordings: health under full load, {plan.health_seconds:g} s")
        health = asyncio.run(_health(plan, paths))
    return Result(pairs=pairs, health=health)


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
    from tests.support.recordings import flite  # noqa: PLC0415 - only where there is none

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, (voice, text) in enumerate(
            (voice, text) for voice in ("rms", "slt") for text in SENTENCES
        ):
            paths.append(Path(folder, f"{number}.wav"))
            _write(paths[-1], flite(text, voice))
        yield sorted(paths, key=_seconds)


def _write(path: Path, pcm: bytes) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm)


def _seconds(path: Path) -> float:
    return sum(map(len, decode(path))) / 2 / SAMPLE_RATE


# --- throughput -------------------------------------------------------------------------------


async def _pair(
    spec: TranscriberSpec,
    slots: int,
    rounds: int,
    paths: Sequence[Path],
    progress: Callable[[str], None],
) -> Pair:
    settings: dict[str, object] = {"transcriber": spec.kind, "slots": slots}
    if spec.model is not None:
        settings["model"] = spec.model
    passes: dict[str, list[Pass]] = {"alone": [], "server": []}
    async with contextlib.AsyncExitStack() as stack:
        engines: list[Lane] = [await stack.enter_async_context(_engine(spec)) for _ in range(slots)]
        server = stack.enter_context(_server(**settings))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await _loaded(server, session, slots, paths)
        callers: list[Lane] = [_Caller(server, session) for _ in range(slots)]
        await _pass(engines, [paths[0]] * slots)  # what is loaded on first use is loaded now
        for number in range(rounds):
            progress(f"recordings: {spec.kind}, {slots} at a time, round {number + 1}")
            for first in range(0, len(paths), PER_CORE * slots):
                some = paths[first : first + PER_CORE * slots]
                turn = first // (PER_CORE * slots) + number
                for way in ("alone", "server") if turn % 2 else ("server", "alone"):
                    done = (
                        await _pass(engines, some)
                        if way == "alone"
                        else await _pass(callers, some, server)
                    )
                    passes[way].append(done)
            progress(
                "  CPU seconds: "
                + ", ".join(f"{way} {sum(p.cpu for p in all_):.1f}" for way, all_ in passes.items())
            )
    return Pair(
        transcriber=spec.kind,
        slots=slots,
        alone=passes["alone"],
        server=passes["server"],
    )


async def _pass(lanes: Sequence[Lane], paths: Sequence[Path], server: Server | None = None) -> Pass:
    """Have the recordings transcribed, the longest first, so that no lane is left alone long."""
    waiting = list(paths)
    said: dict[str, tuple[str, float]] = {}
    cpu = 0.0

    async def work(lane: Lane) -> None:
        nonlocal cpu
        while waiting:
            path = waiting.pop()
            text, duration, spent = await lane.transcribe(path)
            said[path.name] = text, duration
            cpu += spent

    before, own = (server.cpu_seconds(), cpu_seconds(server.process)) if server else (0.0, 0.0)
    began = perf_counter()
    await asyncio.gather(*map(work, lanes))
    clock = perf_counter() - began
    if server:
        cpu, own = server.cpu_seconds() - before, cpu_seconds(server.process) - own
    audio = sum(duration for _, duration in said.values())
    return Pass(audio=audio, clock=clock, cpu=cpu, own=own, said=said)


class _Engine:
    """The engine alone."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def transcribe(self, path: Path) -> tuple[str, float, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n".encode())
        line = await self._process.stdout.readline()
        if not line:
            raise ServerError(f"the engine died over {path.name}")
        told = json.loads(line)
        return told["text"], told["duration"], told["cpu"]


@contextlib.asynccontextmanager
async def _engine(spec: TranscriberSpec) -> AsyncIterator[_Engine]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.bare_engine",
        SPEC.dump_json(spec).decode(),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            if not await process.stdout.readline():
                raise ServerError("the engine did not start")
        yield _Engine(process)
    finally:
        process.stdin.close()
        await process.wait()


class _Caller:
    """A client of the server."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self._url = f"{server.url}/transcribe"
        self._session = session

    async def transcribe(self, path: Path) -> tuple[str, float, float]:
        form = aiohttp.FormData()
        try:
            with path.open("rb") as file:
                form.add_field("file", file, filename=path.name)
                async with self._session.post(self._url, data=form) as answer:
                    told = await answer.json(content_type=None)
        except aiohttp.ClientError as error:
            raise ServerError(f"the server is gone: {error}") from error
        if answer.status != 200:
            raise ServerError(f"{path.name}: {answer.status} {told.get('code')}")
        return told["text"], told["duration"], 0.0


@contextlib.contextmanager
def _server(**settings: object) -> Iterator[Server]:
    given = {name.upper(): str(value) for name, value in settings.items()}
    with running(
        "the server for recordings", [sys.executable, "-m", "gpu_server"], {"PORT": "0", **given}
    ) as server:
        yield server


async def _loaded(
    server: Server, session: aiohttp.ClientSession, slots: int, paths: Sequence[Path]
) -> None:
    """Wait until every slot has its model, which shows in that all of them work."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            async with session.get(f"{server.url}/health") as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.05)
        caller = _Caller(server, session)
        while True:
            work = [asyncio.create_task(caller.transcribe(paths[-1])) for _ in range(slots)]
            all_at_work = False
            while not all(task.done() for task in work):
                await asyncio.sleep(0.02)
                all_at_work |= (await _queue(server, session))["running"] == slots
            for task in work:
                await task
            if all_at_work:
                return


async def _queue(server: Server, session: aiohttp.ClientSession) -> dict[str, int]:
    async with session.get(f"{server.url}/health") as answer:
        queue: dict[str, int] = (await answer.json())["queue"]
    return queue


# --- health under full load -------------------------------------------------------------------


async def _health(plan: Plan, paths: Sequence[Path]) -> Health:
    slots = max(plan.slots)
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder, "long.wav")
        speech = b"".join(b"".join(decode(path)) for path in paths)
        bytes_wanted = round(plan.work_seconds * SAMPLE_RATE) * 2
        _write(long, (speech * (bytes_wanted // len(speech) + 1))[:bytes_wanted])
        # The embedded engine holds a core of each slot, as nothing else does here.
        settings = {"transcriber": "embedded", "slots": slots, "queue_limit": 50}
        with _server(**settings, work_dir=folder) as server:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                await _loaded(server, session, slots, paths)
                return await _under_load(plan, server, session, long, slots)


async def _under_load(
    plan: Plan, server: Server, session: aiohttp.ClientSession, long: Path, slots: int
) -> Health:
    arrived = 0

    async def upload() -> None:
        nonlocal arrived
        while True:
            arrived += await _upload_and_leave(server, session, plan.upload_bytes)

    caller = _Caller(server, session)
    load = [asyncio.create_task(caller.transcribe(long)) for _ in range(slots + WAITING)]
    try:
        await _full(server, session, slots)
        uploads = [asyncio.create_task(upload()) for _ in range(UPLOADS)]
        load += uploads  # type: ignore[arg-type]  # for their end only
        began = perf_counter()
        asking = asyncio.create_task(_ask(server, plan.health_seconds))
        await asyncio.wait({asking, *load}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            asking.cancel()
            raise ServerError("the load has ended before its time")
        seconds = perf_counter() - began
        told = asking.result()
    finally:
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
    return Health(slots=slots, upload_rate=arrived / seconds, **told)


async def _full(server: Server, session: aiohttp.ClientSession, slots: int) -> None:
    """Wait until all slots are busy and the others wait."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            queue = await _queue(server, session)
            if queue["running"] == slots and queue["waiting"] == WAITING:
                return
            await asyncio.sleep(0.1)


async def _upload_and_leave(server: Server, session: aiohttp.ClientSession, size: int) -> int:
    """Upload a file, hang up when all of it is sent, and return its size."""
    sent = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield (
            f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=it.wav\r\n\r\n"
        ).encode()
        block = bytes(BLOCK)
        for _ in range(size // BLOCK):
            yield block
        yield f"\r\n--{BOUNDARY}--\r\n".encode()
        sent.set()

    async def post() -> None:
        async with session.post(
            f"{server.url}/transcribe",
            data=body(),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        ) as answer:
            told = await answer.json(content_type=None)
            raise ServerError(f"an upload was answered: {answer.status} {told.get('code')}")

    posting = asyncio.create_task(post())
    leaving = asyncio.create_task(sent.wait())
    try:
        await asyncio.wait({posting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if posting.done():
            await posting
    finally:
        posting.cancel()
        leaving.cancel()
        await asyncio.gather(posting, leaving, return_exceptions=True)
    return size


async def _ask(server: Server, seconds: float) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.recordings_load",
        server.url,
        "--seconds",
        str(seconds),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise ServerError("the server did not say how it is")
    answer: dict[str, Any] = json.loads(told)
    return answer


# --- the report -------------------------------------------------------------------------------


def figures(result: Result) -> dict[str, object]:
    """Return everything measured, for programs; without what was said."""
    told = asdict(result)
    for pair in told["pairs"]:
        for one in (*pair["alone"], *pair["server"]):
            del one["said"]
    return told


def report(result: Result) -> str:
    """Return the tables, and which promises are kept."""
    heads = (
        "transcriber",
        "slots",
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
    health = result.health
    asked = (
        health.slots,
        health.waiting,
        health.upload_rate / 2**20,
        health.asked,
        *health.health_ms.values(),
        health.late_ms["p99"],
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
    """Return a line for each promise."""
    lines = []
    for pair in result.pairs:
        name = f"{pair.transcriber}, {pair.slots} at a time"
        if pair.transcriber == "embedded":
            for what, share in (("CPU", pair.cpu_share), ("time", pair.clock_share)):
                word = "kept" if share >= SHARE else "MISSED"
                lines.append(
                    f"- {word}: {name}: {share:.3f} of the engine's audio by {what}, "
                    f"at least {SHARE}"
                )
        word = "MISSED" if pair.different else "kept"
        lines.append(f"- {word}: {name}: transcripts that differ: {pair.different}")
    health = result.health
    full = health.running == health.slots and health.waiting >= WAITING
    p99 = health.health_ms["p99"]
    word = "kept" if p99 <= HEALTH_MS and not health.refused and full else "MISSED"
    lines.append(
        f"- {word}: health under full load, p99: {p99:.1f} ms, at most {HEALTH_MS:.0f} ms"
        + ("" if full else " (the load was not full all the time)")
        + (f" ({health.refused} answers were not 200)" if health.refused else "")
    )
    return lines
