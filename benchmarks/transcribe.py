"""Measures the engine `transcribe` with the local endpoint: CPU, added latency, memory per stream.

The endpoint runs in another process, over TLS as at AWS. It emits scripted words, one every 0.4
seconds and without delay, so that the latency of a word is what the engine, the endpoint and the
loopback add. For hours of audio the words are encoded in the audio (`dictation`), so that each can
be identified.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from benchmarks.figures import format_target, table, table_of
from benchmarks.servers import ROOT, ServerError, program
from benchmarks.transcribe_load import FRAME_SECONDS, Cost, Load

#: Beyond the load itself: streams to open and to finish.
GRACE_SECONDS = 180.0
MANY = 10_000

MAX_P99_MS = 50.0
MAX_KIB_PER_STREAM = 150.0
MIN_STREAMS_PER_CORE = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. Real time, seconds, for each number of streams."""

    streams: tuple[int, ...] = (1, 20, 200, 500)
    seconds: float = 20.0
    #: Of audio, through one stream as fast as it goes; longer than a session may last.
    long_seconds: float = 4 * 3600 + 300


QUICK = Plan(streams=(1, 20), seconds=4.0, long_seconds=300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A load, what it cost, and what its endpoint cost meanwhile."""

    streams: int
    seconds: float
    fast: bool
    cost: Cost
    #: CPU seconds of the generator alone, per frame.
    generator: float = 0.0

    @property
    def cpu_us(self) -> float:
        """CPU per frame of 100 ms, without the generator's, in microseconds."""
        return (self.cost.cpu_seconds / self.cost.frames - self.generator) * 1e6

    @property
    def streams_per_core(self) -> float:
        """So many streams would take a whole core, were each as cheap as these."""
        return FRAME_SECONDS / (self.cpu_us / 1e6)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running endpoint."""

    url: str
    environment: dict[str, str]


@contextlib.contextmanager
def endpoint(engine: str) -> Iterator[Endpoint]:
    """Run the endpoint with `engine` behind it.

    Raises:
        ServerError: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        command = [
            *(sys.executable, "-m", "transcribe_endpoint"),
            *("--certificates", folder, "--engine", engine),
            *("--max-streams", str(MANY), "--starts-per-second", str(MANY)),
        ]
        with program("the endpoint", command, {}, _find_endpoint) as (_, found):
            yield found


def _find_endpoint(output: str) -> Endpoint | None:
    url = re.search(r"wss://\S+", output)
    if url is None or "keys:" not in output or not output.endswith("\n"):
        return None
    named = dict(re.findall(r"(SSL_CERT_FILE|AWS_\w+)=(\S+)", output))
    named["AWS_CA_BUNDLE"] = named["SSL_CERT_FILE"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return Endpoint(url[0], kept | named)


def run(plan: Plan, progress: Callable[[str], None]) -> list[Measurement]:
    """Measure.

    Raises:
        ServerError: the endpoint did not start, or a load failed.
    """
    measurements = []
    with endpoint("script") as peer:
        for streams in plan.streams:
            progress(f"transcribe: {streams} streams for {plan.seconds:g} s")
            generator = _measure(peer, Load(streams=streams, seconds=plan.seconds))
            load = Load(streams=streams, seconds=plan.seconds, endpoint=peer.url)
            measurements.append(
                Measurement(
                    streams=streams,
                    seconds=plan.seconds,
                    fast=False,
                    cost=_measure(peer, load),
                    generator=generator.cpu_seconds / generator.frames,
                )
            )
    with endpoint("dictation") as peer:
        progress(f"transcribe: {plan.long_seconds / 3600:.2g} h of audio, as fast as it goes")
        load = Load(streams=1, seconds=plan.long_seconds, endpoint=peer.url, fast=True)
        cost = _measure(peer, load)
        measurements.append(Measurement(streams=1, seconds=plan.long_seconds, fast=True, cost=cost))
    return measurements


def _measure(peer: Endpoint, load: Load) -> Cost:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.transcribe_load", json.dumps(asdict(load))],
        cwd=ROOT,
        env=peer.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=load.seconds + GRACE_SECONDS,
    )
    if done.returncode:
        raise ServerError(f"{load.streams} streams failed: {done.stderr[-1000:]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def report(measurements: list[Measurement]) -> str:
    """Return the tables, and which targets are met."""
    live = [one for one in measurements if not one.fast]
    columns: dict[str, Callable[[Measurement], object]] = {
        "streams": lambda one: one.streams,
        "CPU %": lambda one: 100 * one.cost.cpu_seconds / one.cost.wall_seconds,
        "CPU us / frame": lambda one: one.cpu_us,
        "streams / core": lambda one: one.streams_per_core,
        "latency p50 ms": lambda one: one.cost.latency_ms["p50"],
        "p95 ms": lambda one: one.cost.latency_ms["p95"],
        "p99 ms": lambda one: one.cost.latency_ms["p99"],
        "late p99 ms": lambda one: one.cost.late_ms["p99"],
        "RSS MiB": lambda one: max(one.cost.rss) / 2**20,
        "KiB / stream": lambda one: _kib_per_stream(one, live),
        "wrong words": lambda one: one.cost.wrong,
    }
    long = [
        (
            f"{one.seconds / 3600:.2f} h",
            one.cost.wall_seconds,
            one.cost.cpu_seconds,
            one.cost.finals,
            one.cost.wrong,
            *(one.cost.rss[round(place * (len(one.cost.rss) - 1))] / 2**20 for place in _PLACES),
        )
        for one in measurements
        if one.fast
    ]
    long_heads = (
        "audio",
        "took s",
        "CPU s",
        "finals",
        "wrong words",
        *("RSS MiB begin", "quarter", "half", "three quarters", "end"),
    )
    return "\n\n".join([table_of(live, columns), table(long_heads, long), _format_targets(live)])


_PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)


def _kib_per_stream(measured: Measurement, live: list[Measurement]) -> float:
    """Return the memory of each stream beyond the first; NaN where there is one only."""
    if measured.streams == 1:
        return math.nan
    first = next(max(one.cost.rss) for one in live if one.streams == 1)
    return (max(measured.cost.rss) - first) / 1024 / (measured.streams - 1)


def _format_targets(live: list[Measurement]) -> str:
    most = max(live, key=lambda one: one.streams)
    each = _kib_per_stream(most, live)
    targets = (
        (
            f"at least {MIN_STREAMS_PER_CORE:g} streams per core",
            most.streams_per_core >= MIN_STREAMS_PER_CORE,
            f"{most.streams_per_core:.0f}",
        ),
        (
            f"p99 of the added latency under {MAX_P99_MS:g} ms",
            most.cost.latency_ms["p99"] < MAX_P99_MS,
            f"{most.cost.latency_ms['p99']:.1f} ms",
        ),
        (
            f"memory under {MAX_KIB_PER_STREAM:g} kB per stream beyond the first",
            each < MAX_KIB_PER_STREAM,
            f"{each:.0f} KiB",
        ),
    )
    return "\n".join(
        format_target(f"{text}, with {most.streams} streams: {figure}", is_kept=is_kept)
        for text, is_kept, figure in targets
    )
