"""`make demo` as a test starts it: a launcher process with its own data and a free port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.cloud import deployed

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
STOP_SECONDS = 40


def free_port() -> int:
    """Return a port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    """Return whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(slots=True)
class RunningDemo:
    """A launcher process and what it has printed so far."""

    process: asyncio.subprocess.Process
    port: int
    printed: list[str] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return "\n".join(self.printed)

    def children(self) -> list[psutil.Process]:
        """Return every process that the launcher has started, workers included."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, *words: str) -> psutil.Process:
        """Return the one child whose command line holds all `words` and is no guard."""
        found = [
            process
            for process in self.children()
            if all(any(word in part for part in process.cmdline()) for word in words)
            and "local_cloud.end_with_parent" not in process.cmdline()
            and "spawn_main" not in " ".join(process.cmdline())
        ]
        assert found, f"no child of {words}"
        return found[0]

    async def until(self, text: str, *, seconds: float = START_SECONDS) -> None:
        """Wait until a line with `text` was printed."""
        async with asyncio.timeout(seconds), self.news:
            await self.news.wait_for(lambda: text in self.output)

    async def end(self, *numbers: signal.Signals) -> int:
        """Send signals and return the exit code."""
        for number in numbers:
            self.process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()


def still_alive(processes: list[psutil.Process], *, seconds: float) -> list[psutil.Process]:
    """Return those of `processes` that have not ended after so many seconds."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [
        process
        for process in alive
        # Who reaps the children of a killed process is up to the machine's first process.
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]


@contextlib.asynccontextmanager
async def launched(
    folder: Path, *, deployed_before: object = True, **settings: object
) -> AsyncIterator[RunningDemo]:
    """Start a launcher with its data in `folder` and the scripted engine; end it at the exit.

    In a new folder it finds the stacks deployed, as at all starts but the first.
    """
    if deployed_before:
        await deployed(folder / "aws")
    port = settings.setdefault("port", free_port())
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONWARNINGS": "error",
        # A test costs nobody money, whoever runs it.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "ENGINE": "scripted",
        "LOCAL_DIR": str(folder),
    } | {name.upper(): str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local_cloud", "demo"),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    demo = RunningDemo(process, port if isinstance(port, int) else 0)
    reading = asyncio.create_task(_read(demo))
    started: list[psutil.Process] = []
    try:
        yield demo
    finally:
        if process.returncode is None:
            started = demo.children()
            process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await reading
        for child in await asyncio.to_thread(still_alive, started, seconds=5.0):
            child.kill()


@contextlib.asynccontextmanager
async def ready_demo(folder: Path, **settings: object) -> AsyncIterator[RunningDemo]:
    """Start a launcher and wait until it prints that everything runs."""
    async with launched(folder, **settings) as demo:
        await demo.until("Ready: ")
        yield demo


async def _read(demo: RunningDemo) -> None:
    assert demo.process.stdout is not None
    async for line in demo.process.stdout:
        async with demo.news:
            demo.printed.append(line.decode(errors="replace").rstrip())
            demo.news.notify_all()
