"""Starts the servers that are measured, on free ports, and reads their CPU time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

ROOT = Path(__file__).resolve().parents[1]
RELAY = Path(__file__).resolve().parent / "node_relay"
#: The embedded engine loads its model first, on a machine that may be busy. Seconds.
START_SECONDS = 60.0
STOP_SECONDS = 10.0

Found = TypeVar("Found")


class ServerError(Exception):
    """A server could not be started, or died."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server process that listens on loopback."""

    name: str
    port: int
    process: psutil.Popen

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return user and system time so far, of all its threads and of its workers."""
        return sum(cpu_seconds(process) for process in self._family())

    def rss_bytes(self) -> int:
        """Return the resident memory, of its workers too; shared pages count once each."""
        return sum(process.memory_info().rss for process in self._family())

    def _family(self) -> list[psutil.Process]:
        try:
            return [self.process, *self.process.children(recursive=True)]
        except psutil.NoSuchProcess as error:
            raise ServerError(f"{self.name} died") from error


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process: to the nanosecond on Linux, else in ticks of 10 ms."""
    threads = list(Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
    if not threads:
        return float(sum(process.cpu_times()[:2]))
    nanoseconds = 0
    for thread in threads:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            nanoseconds += int(thread.read_text().split()[0])
    return nanoseconds / 1e9


@contextlib.contextmanager
def cloudscribe(engine: str = "scripted", **settings: object) -> Iterator[Server]:
    """Run the service without AWS; `settings` are environment variables in lower case.

    Raises:
        ServerError: it did not start.
    """
    given = {name.upper(): str(value) for name, value in settings.items()}
    environment = {"ENGINE": engine, "PORT": "0", "LOG_LEVEL": "info", **given}
    with running("cloudscribe", [sys.executable, "-m", "ecs_service"], environment) as server:
        yield server


@contextlib.contextmanager
def node_relay() -> Iterator[Server]:
    """Run the bare Node relay, whose packages `make bench` installs.

    Raises:
        ServerError: it did not start; the message ends with its last lines.
    """
    node = shutil.which("node") or "node"
    environment = {"PORT": "0", "NODE_ENV": "production"}
    with running("node relay", [node, str(RELAY / "server.mjs")], environment) as server:
        yield server


@contextlib.contextmanager
def running(name: str, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    """Run a server that logs its port.

    Raises:
        ServerError: it did not start.
    """
    with program(name, command, environment, _find_port) as (process, port):
        yield Server(name, port, process)


@contextlib.contextmanager
def program(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    find: Callable[[str], Found | None],
) -> Iterator[tuple[psutil.Popen, Found]]:
    """Run a program inside the context; yield its process and what `find` finds in its output.

    Args:
        name: of the program, for messages.
        command: the program and its arguments.
        environment: variables in addition to those of this process.
        find: returns what the output names once the program is ready, None before that.

    Raises:
        ServerError: it did not start.
    """
    with tempfile.NamedTemporaryFile("w", prefix="benchmark-", suffix=".log") as log:
        process = psutil.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process, _await_start(name, process, Path(log.name), find)
        finally:
            _stop(process)


def _stop(process: psutil.Popen) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait()


def _await_start(
    name: str, process: psutil.Popen, log: Path, find: Callable[[str], Found | None]
) -> Found:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        output = log.read_text()
        found = find(output)
        if found is not None:
            return found
        if process.poll() is not None:
            raise ServerError(f"{name} did not start: {' / '.join(output.splitlines()[-5:])}")
        time.sleep(0.05)
    raise ServerError(f"{name} did not start within {START_SECONDS:g} s")


def _find_port(output: str) -> int | None:
    """Return the port in the log of a server of ours or of the relay."""
    for line in output.splitlines():
        if '"serving"' in line or '"listening"' in line:
            return int(json.loads(line)["port"])
    return None
