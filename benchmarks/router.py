"""Measures the time that the router adds to a transcription: its cold import and its warm overhead.

The real handler runs with real clients in a process of its own. Stand-ins on the loopback answer
its requests at once (`benchmarks.router_world`), so the figures leave out the time of S3, SQS, the
server and the network.

Import: a fresh interpreter imports the handler, which creates its clients. On a busy machine the
CPU time shows more than the clock. The interpreter sees what it sees in Lambda (`scripts.bundle`):
packages with bytecode, the function's own sources without; the botocore data of the layer; no
`awscrt`. A second measurement leaves out the packages' bytecode, as a layer does that was built
without the functions' Python.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import botocore

from benchmarks.figures import format_target, milliseconds, table
from benchmarks.servers import ROOT, ServerError, program
from scripts import botocore_data

IMPORT_MS: Final = 400.0
OVERHEAD_MS: Final = 50.0

BUCKET = "recordings-of-the-benchmark"
_IMPORT = """
import sys, time
sys.modules["awscrt"] = None
begin, cpu = time.perf_counter(), time.process_time()
import botocore.loaders
botocore.loaders.Loader.BUILTIN_DATA_PATH = sys.argv[1]
import lambdas.router.handler
print(time.perf_counter() - begin, time.process_time() - cpu)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often each measurement is repeated."""

    imports: int = 15
    invocations: int = 500


QUICK: Final = Plan(imports=3, invocations=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Figures in milliseconds: p50, p95, p99 and max."""

    imported: dict[str, float]
    imported_cpu: dict[str, float]
    #: The same without the packages' bytecode.
    compiled: dict[str, float]
    compiled_cpu: dict[str, float]
    #: The warm handler, by the recording's destination.
    warm: dict[str, dict[str, float]]


def run(plan: Plan, progress: Callable[[str], None]) -> Result:
    """Run the measurements.

    Raises:
        ServerError: the stand-ins around the router did not start, or the router failed.
    """
    with _world() as url, tempfile.TemporaryDirectory() as space:
        environment = _environment(url)
        data = _data_of_the_layer(Path(space, "data"))
        progress("router: cold start")
        cache = Path(space, "bytecode")
        environment_of_imports = environment | _compile_packages(cache, environment, data)
        imported = _imports(environment_of_imports, data, plan.imports)
        shutil.rmtree(_cached(cache, Path(botocore.__file__).parents[1]))
        compiled = _imports(environment_of_imports, data, plan.imports)
        warm = {}
        for name, more, end in (
            ("server", {"GPU_URL": url}, "recording transcribed"),
            ("queue", {}, "recording queued"),
        ):
            progress(f"router: {plan.invocations} recordings to the {name}")
            seconds = _warm_seconds(environment | more, plan.invocations, end)
            warm[name] = milliseconds(seconds)
    return Result(
        imported=milliseconds(imported[0]),
        imported_cpu=milliseconds(imported[1]),
        compiled=milliseconds(compiled[0]),
        compiled_cpu=milliseconds(compiled[1]),
        warm=warm,
    )


def report(result: Result) -> str:
    """Return the table, and whether each limit is kept."""
    heads = ["what", "p50 ms", "p95 ms", "p99 ms", "max ms"]
    rows = [
        ["import", *result.imported.values()],
        ["import, CPU", *result.imported_cpu.values()],
        ["import without bytecode", *result.compiled.values()],
        ["import without bytecode, CPU", *result.compiled_cpu.values()],
    ]
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


def _environment(url: str) -> dict[str, str]:
    """Return an environment whose only AWS endpoint is `url`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for name in ("PYTHONDONTWRITEBYTECODE", "GPU_URL", "AUTH_TOKEN"):
        kept.pop(name, None)
    return kept | {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "JOBS_QUEUE_URL": f"{url}/jobs",
        "UNDELIVERED_QUEUE_URL": f"{url}/undelivered",
        "RECORDINGS_BUCKET": BUCKET,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _data_of_the_layer(target: Path) -> Path:
    """Copy the part of botocore's data that the layer keeps."""
    shutil.copytree(Path(botocore.__file__).with_name("data"), target)
    botocore_data.slim(target)
    return target


def _compile_packages(cache: Path, environment: dict[str, str], data: Path) -> dict[str, str]:
    """Compile everything but our own sources into `cache`; return the variables that select it."""
    selected = {"PYTHONPYCACHEPREFIX": str(cache)}
    _import_seconds(environment | selected, data)
    for room in ("foundation", "lambdas", "transcripts"):
        shutil.rmtree(_cached(cache, ROOT / room))
    return selected | {"PYTHONDONTWRITEBYTECODE": "1"}


def _cached(cache: Path, folder: Path) -> Path:
    """Return where the bytecode of a folder lies in `cache`."""
    return cache / folder.relative_to(folder.anchor)


def _imports(environment: dict[str, str], data: Path, count: int) -> list[tuple[float, ...]]:
    """Return the seconds of `count` imports by the clock, and those of the CPU."""
    return list(zip(*(_import_seconds(environment, data) for _ in range(count)), strict=True))


def _import_seconds(environment: dict[str, str], data: Path) -> tuple[float, float]:
    """Return the seconds of one import, by the clock and of the CPU."""
    clock, cpu = _output([sys.executable, "-c", _IMPORT, str(data)], environment).split()
    return float(clock), float(cpu)


def _warm_seconds(environment: dict[str, str], invocations: int, end: str) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.router", str(invocations)]
    *logged, last = _output(command, environment).splitlines()
    if sum(f'"message":"{end}"' in line for line in logged) < invocations:
        raise ServerError(f"not every recording became a {end!r}")
    seconds: list[float] = json.loads(last)
    return seconds


def _output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServerError(f"the router failed: {done.stderr[-2000:]}")
    return done.stdout


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
