"""Runs the code of Lambda functions in processes of their own, as Lambda would.

Import: a fresh interpreter imports the handler, which creates its clients. On a busy machine the
CPU time shows more than the clock. The interpreter sees what it sees in Lambda (`scripts.bundle`):
packages with bytecode, the function's own sources without; the botocore data of the layer; no
`awscrt`. A second measurement leaves out the packages' bytecode, as a layer does that was built
without the functions' Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import botocore

from benchmarks.figures import milliseconds
from benchmarks.servers import ROOT, ServerError
from scripts import botocore_data
from transcripts.functions import handler_path

#: Folders whose sources are a function's own.
_OWN: Final = ("access", "foundation", "lambdas", "transcripts")
_IMPORT = """
import importlib, sys, time
sys.modules["awscrt"] = None
begin, cpu = time.perf_counter(), time.process_time()
import botocore.loaders
botocore.loaders.Loader.BUILTIN_DATA_PATH = sys.argv[1]
importlib.import_module(sys.argv[2])
print(time.perf_counter() - begin, time.process_time() - cpu)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """Figures in milliseconds: p50, p95, p99 and max."""

    imported: dict[str, float]
    imported_cpu: dict[str, float]
    #: The same without the packages' bytecode.
    compiled: dict[str, float]
    compiled_cpu: dict[str, float]

    def rows(self) -> list[list[object]]:
        """Return the rows of a table: what, p50, p95, p99, max."""
        return [
            ["import", *self.imported.values()],
            ["import, CPU", *self.imported_cpu.values()],
            ["import without bytecode", *self.compiled.values()],
            ["import without bytecode, CPU", *self.compiled_cpu.values()],
        ]


def make_environment(url: str, **settings: str) -> dict[str, str]:
    """Return an environment whose only AWS endpoint is `url`, with a function's settings."""
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
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        **settings,
    }


def measure_imports(function: str, environment: dict[str, str], count: int) -> Imports:
    """Import a function's handler in `count` fresh interpreters, and again without bytecode.

    Raises:
        ServerError: the handler cannot be imported.
    """
    with tempfile.TemporaryDirectory() as space:
        measured = _Measured(
            module=handler_path(function).rpartition(".")[0],
            data=_data_of_the_layer(Path(space, "data")),
        )
        cache = Path(space, "bytecode")
        selected = environment | {"PYTHONPYCACHEPREFIX": str(cache)}
        measured.seconds(selected)  # compiles everything
        for room in _OWN:
            # Not every function has every room.
            shutil.rmtree(_cached(cache, ROOT / room), ignore_errors=True)
        selected["PYTHONDONTWRITEBYTECODE"] = "1"
        imported, imported_cpu = measured.repeat(selected, count)
        shutil.rmtree(_cached(cache, Path(botocore.__file__).parents[1]))
        compiled, compiled_cpu = measured.repeat(selected, count)
    return Imports(
        imported=milliseconds(imported),
        imported_cpu=milliseconds(imported_cpu),
        compiled=milliseconds(compiled),
        compiled_cpu=milliseconds(compiled_cpu),
    )


def output_of(command: list[str], environment: dict[str, str]) -> str:
    """Return what a command prints.

    Raises:
        ServerError: it failed.
    """
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServerError(f"the function failed: {done.stderr[-2000:]}")
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """The module that is imported, and the data of botocore that it sees."""

    module: str
    data: Path

    def repeat(
        self, environment: dict[str, str], count: int
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the seconds of `count` imports by the clock, and those of the CPU."""
        clock, cpu = zip(*(self.seconds(environment) for _ in range(count)), strict=True)
        return clock, cpu

    def seconds(self, environment: dict[str, str]) -> tuple[float, float]:
        """Return the seconds of one import, by the clock and of the CPU."""
        command = [sys.executable, "-c", _IMPORT, str(self.data), self.module]
        clock, cpu = output_of(command, environment).split()
        return float(clock), float(cpu)


def _data_of_the_layer(target: Path) -> Path:
    """Copy the part of botocore's data that the layer keeps."""
    shutil.copytree(Path(botocore.__file__).with_name("data"), target)
    botocore_data.slim(target)
    return target


def _cached(cache: Path, folder: Path) -> Path:
    """Return where the bytecode of a folder lies in `cache`."""
    return cache / folder.relative_to(folder.anchor)
