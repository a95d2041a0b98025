"""Measures live captions under load: the service, and a bare Node relay for comparison.

For each number of streams both servers are started afresh, in alternating order, several times;
the tables show medians over the rounds. CPU is the user and system time of the server's processes
in the measured window, divided by the audio messages sent in it. It includes everything that the
server does meanwhile, also the responses to 20 health checks a second, which are most of it where
the streams are few. Memory per stream is what each further stream adds to the resident memory of a
server with one stream.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

from benchmarks.figures import format_target, table_of
from benchmarks.servers import ROOT, Server, ServerError, cloudscribe, node_relay

#: The targets of the service at the largest load, milliseconds.
LATENCY_P95_MS = 25.0
HEALTH_P99_MS = 50.0

SERVERS: dict[str, Callable[[], AbstractContextManager[Server]]] = {
    "cloudscribe": cloudscribe,
    "node relay": node_relay,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    streams: Sequence[int] = (1, 50, 200)
    rounds: int = 3
    seconds: float = 10.0
    warm_up: float = 3.0


QUICK = Plan(streams=(1, 5), rounds=1, seconds=2.0, warm_up=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One server under one load. Times in milliseconds, memory in bytes."""

    server: str
    streams: int
    cpu_us_per_message: float
    latency_p50: float
    latency_p95: float
    latency_p99: float
    health_p99: float
    rss: float
    lost_words: float
    #: Messages that came twice, or never.
    wrong_messages: float
    generator_cpu_share: float
    generator_late_p99: float


def run(plan: Plan, progress: Callable[[str], None]) -> list[Measurement]:
    """Measure both servers; return the medians.

    Raises:
        ServerError: a server or the load failed.
    """
    taken: dict[tuple[str, int], list[Measurement]] = {}
    for round_number in range(plan.rounds):
        for streams in plan.streams:
            names = list(SERVERS)
            # Whoever runs second may find a warmer or a busier machine.
            for name in names if round_number % 2 == 0 else reversed(names):
                progress(
                    f"live: round {round_number + 1} of {plan.rounds}, {name}, {streams} streams"
                )
                with SERVERS[name]() as server:
                    one = measure(server, streams, plan.seconds, plan.warm_up)
                taken.setdefault((name, streams), []).append(one)
    return [_medians(taken[name, streams]) for streams in plan.streams for name in SERVERS]


def measure(server: Server, streams: int, seconds: float, warm_up: float) -> Measurement:
    """Measure a running server under a load.

    Raises:
        ServerError: the server or the load failed.
    """
    cpu = {}
    rss = 0
    result = None
    for event in _load(server, streams, seconds, warm_up):
        cpu[event["event"]] = server.cpu_seconds()
        if event["event"] == "end":
            rss = server.rss_bytes()
        result = event
    if result is None or result["event"] != "result":
        raise ServerError(f"{server.name}: the load of {streams} streams was not carried through")
    return Measurement(
        server=server.name,
        streams=streams,
        cpu_us_per_message=(cpu["end"] - cpu["begin"]) / result["frames"] * 1e6,
        latency_p50=result["latency_ms"]["p50"],
        latency_p95=result["latency_ms"]["p95"],
        latency_p99=result["latency_ms"]["p99"],
        health_p99=result["health_ms"]["p99"],
        rss=rss,
        lost_words=result["lost_words"],
        wrong_messages=result["missing_messages"] + result["repeated_messages"],
        generator_cpu_share=result["generator"]["cpu_share"],
        generator_late_p99=result["generator"]["late_ms"]["p99"],
    )


def _load(server: Server, streams: int, seconds: float, warm_up: float) -> Iterator[dict[str, Any]]:
    """Run the load generator in a process of its own; yield its events as they come."""
    command = [sys.executable, "-m", "benchmarks.load", server.url]
    options = {"--streams": streams, "--seconds": seconds, "--warm-up": warm_up}
    for name, value in options.items():
        command += [name, str(value)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
        finally:
            process.terminate()


def _medians(rounds: Sequence[Measurement]) -> Measurement:
    """Return the median of each figure, but the sum of lost and wrong messages, which must be 0."""
    values: dict[str, Any] = {"server": rounds[0].server, "streams": rounds[0].streams}
    for field in fields(Measurement):
        if field.name in values:
            continue
        figures = [getattr(one, field.name) for one in rounds]
        is_count = field.name in {"lost_words", "wrong_messages"}
        values[field.name] = sum(figures) if is_count else median(figures)
    return Measurement(**values)


def memory_per_stream(measurements: Sequence[Measurement]) -> dict[tuple[str, int], float]:
    """Return the bytes that each further stream takes, by server and number of streams."""
    least = {one.server: one for one in reversed(measurements)}
    for one in measurements:
        if one.streams < least[one.server].streams:
            least[one.server] = one
    return {
        (one.server, one.streams): (one.rss - base.rss) / (one.streams - base.streams)
        for one in measurements
        if one.streams > (base := least[one.server]).streams
    }


def report(measurements: Sequence[Measurement]) -> str:
    """Return the table, and below it which targets were met."""
    memory = memory_per_stream(measurements)
    columns: dict[str, Callable[[Measurement], object]] = {
        "streams": lambda one: one.streams,
        "server": lambda one: one.server,
        "CPU us / message": lambda one: one.cpu_us_per_message,
        "latency p50 ms": lambda one: one.latency_p50,
        "p95 ms": lambda one: one.latency_p95,
        "p99 ms": lambda one: one.latency_p99,
        "health p99 ms": lambda one: one.health_p99,
        "RSS MiB": lambda one: one.rss / 2**20,
        "KiB / stream": lambda one: memory.get((one.server, one.streams), math.nan) / 2**10,
        "lost words": lambda one: one.lost_words + one.wrong_messages,
        "generator CPU": lambda one: one.generator_cpu_share,
        "late p99 ms": lambda one: one.generator_late_p99,
    }
    return "\n".join([table_of(measurements, columns), "", *verdicts(measurements)])


def verdicts(measurements: Sequence[Measurement]) -> list[str]:
    """Return a line for each target: kept, or missed by how much, at the largest load."""
    most = max(one.streams for one in measurements)
    ours, theirs = (
        next(one for one in measurements if (one.server, one.streams) == (name, most))
        for name in SERVERS
    )
    targets = (
        ("added latency p95, ms", ours.latency_p95, LATENCY_P95_MS),
        ("healthcheck p99, ms", ours.health_p99, HEALTH_P99_MS),
        (
            "CPU per audio message, us (Node relay)",
            ours.cpu_us_per_message,
            theirs.cpu_us_per_message,
        ),
        ("words or messages lost or doubled", ours.lost_words + ours.wrong_messages, 0.0),
    )
    return [
        format_target(
            f"{name}: {value:.1f}, at most {limit:.1f}"
            + ("" if value <= limit or not limit else f" ({value / limit - 1:+.0%})"),
            is_kept=value <= limit,
        )
        for name, value, limit in targets
    ]
