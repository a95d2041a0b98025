"""The real service in a process of its own, on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecs_service.api.acceptor import Acceptor
from ecs_service.app import start_service
from ecs_service.settings import Settings

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
STOP_SECONDS = 40

#: Kills the service when the test's process ends without its fixtures' teardown, as an xdist worker
#: does some seconds after its controller was interrupted. It execs the service, so the process id
#: is the service's own. Linux only.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()

#: Settings without rate limits, for tests whose many clients share one address.
ANY_NUMBER = {"connects_at_once": 10**9, "failures_at_once": 10**9}


@dataclass(slots=True)
class RunningService:
    """A process of the service: its URL and its log so far."""

    process: asyncio.subprocess.Process
    url: str
    logs: list[dict[str, Any]] = field(default_factory=list)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log entries with this event name."""
        return [entry for entry in self.logs if entry.get("event") == event]

    async def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def running_service(
    most_files: int | None = None, /, **settings: object
) -> AsyncIterator[RunningService]:
    """Run `python -m ecs_service` with `settings`, whose names are lower case here.

    `most_files` limits its file descriptors.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "ENGINE": "scripted",
        "PORT": "0",
    } | {name.upper(): str(value) for name, value in settings.items()}
    limited = ("sh", "-c", 'ulimit -n "$0" && exec "$@"', str(most_files)) if most_files else ()
    process = await asyncio.create_subprocess_exec(
        *WITH_PARENT,
        *limited,
        sys.executable,
        "-m",
        "ecs_service",
        cwd=ROOT,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    service = RunningService(process, url="")
    serving = asyncio.Event()
    reading = asyncio.create_task(read_logs(service, serving))
    try:
        async with asyncio.timeout(START_SECONDS):
            await serving.wait()
        if not service.url:
            raise AssertionError(f"the service did not start: {service.logs}")
        yield service
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await reading


async def read_logs(service: RunningService, serving: asyncio.Event) -> None:
    assert service.process.stderr is not None
    async for line in service.process.stderr:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"event": line.decode(errors="replace").rstrip()}
        service.logs.append(entry)
        if entry.get("event") in {"serving", "listening"}:
            service.url = f"http://127.0.0.1:{entry['port']}"
            serving.set()
    serving.set()


@contextlib.asynccontextmanager
async def service_in_process(settings: Settings) -> AsyncIterator[str]:
    """Run the service on the test's own loop, where constants can be patched; yield its URL."""

    def on_defect() -> None:
        raise AssertionError("a background task died")

    async with start_service(settings, on_defect) as parts:
        bound = socket.create_server(("127.0.0.1", 0))
        acceptor = Acceptor(parts.router, parts.router.pending, bound)
        try:
            yield f"http://127.0.0.1:{acceptor.port}"
        finally:
            acceptor.close()
            await parts.live.disconnect_all()
