"""Measures the time that the router adds to a transcription: its cold import and its warm overhead.

The real handler runs with real clients in a process of its own. Stand-ins on the loopback answer
its requests at once (`benchmarks.router_world`), so the figures leave out the time of S3, SQS, the
server and the network. `benchmarks.functions` describes how imports are measured.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any, Final

from benchmarks.figures import format_target, milliseconds, table
from benchmarks.functions import Imports, make_environment, measure_imports, output_of
from benchmarks.servers import ServerError, program
from transcripts.functions import ROUTER

IMPORT_MS: Final = 400.0
OVERHEAD_MS: Final = 50.0

BUCKET = "recordings-of-the-benchmark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often each measurement is repeated."""

    imports: int = 15
    invocations: int = 500


QUICK: Final = Plan(imports=3, invocations=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Imports):
    """Figures in milliseconds: p50, p95, p99 and max."""

    #: The warm handler, by the recording's destination.
    warm: dict[str, dict[str, float]]


def run(plan: Plan, progress: Callable[[str], None]) -> Result:
    """Run the measurements.

    Raises:
        ServerError: the stand-ins around the router did not start, or the router failed.
    """
    with _world() as url:
        environment = make_environment(
            url,
            JOBS_QUEUE_URL=f"{url}/jobs",
            UNDELIVERED_QUEUE_URL=f"{url}/undelivered",
            RECORDINGS_BUCKET=BUCKET,
        )
        progress("router: cold start")
        imports = measure_imports(ROUTER, environment, plan.imports)
        warm = {}
        for name, more, end in (
            ("server", {"GPU_URL": url}, "recording transcribed"),
            ("queue", {}, "recording queued"),
        ):
            progress(f"router: {plan.invocations} recordings to the {name}")
            seconds = _warm_seconds(environment | more, plan.invocations, end)
            warm[name] = milliseconds(seconds)
    return Result(**asdict(imports), warm=warm)


def report(result: Result) -> str:
    """Return the table, and whether each limit is kept."""
    heads = ["what", "p50 ms", "p95 ms", "p99 ms", "max ms"]
    rows = result.rows()
    rows += [[f"warm, to the {name}", *each.values()] for name, each in result.warm.items()]
    p50, p95 = result.imported["p50"], result.warm["server"]["p95"]
    return "\n".join(
        [
            table(heads, rows),
            "",
            _format_limit("import, p50", p50, IMPORT_MS),
            _format_limit("overhead of a warm router, p95", p95, OVERHEAD_MS),
        ]
    )


def _format_limit(name: str, value: float, limit: float) -> str:
    return format_target(f"{name}: {value:.1f} ms, at most {limit:.0f} ms", is_kept=value <= limit)


@contextlib.contextmanager
def _world() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.router_world"]
    with program("the router's world", command, {}, _find_address) as (_, url):
        yield url


def _find_address(output: str) -> str | None:
    found = re.match(r"(http://\S+)\n", output)
    return found[1] if found else None


def _warm_seconds(environment: dict[str, str], invocations: int, end: str) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.router", str(invocations)]
    *logged, last = output_of(command, environment).splitlines()
    if sum(f'"message":"{end}"' in line for line in logged) < invocations:
        raise ServerError(f"not every recording became a {end!r}")
    seconds: list[float] = json.loads(last)
    return seconds


def _invoke(invocations: int) -> list[float]:
    """Call the handler for one new recording after another; return the seconds of each call."""
    from lambdas.router.handler import handler  # noqa: PLC0415 - reads the environment

    context: Any = SimpleNamespace(
        function_name="router",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:router:live",
        aws_request_id="request",
        get_remaining_time_in_millis=lambda: 299_000,
    )
    seconds = []
    for number in range(-5, invocations):
        event = {
            "id": f"event-{number}",
            "time": "2026-11-20T17:29:03Z",
            "detail": {
                "bucket": {"name": BUCKET},
                "object": {"key": f"uploads/{number}.wav", "size": 960_000, "etag": "b1"},
            },
        }
        begin = time.perf_counter()
        handler(event, context)
        if number >= 0:  # the first ones open connections
            seconds.append(time.perf_counter() - begin)
    return seconds


if __name__ == "__main__":
    print(json.dumps(_invoke(int(sys.argv[1]))))
