"""The tasks of the service: processes that are killed with their disks, frozen and replaced."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.drill.lines import Balancer
from tests.support.cloud import Cloud
from tests.support.service import ANY_NUMBER, RunningService, running_service

#: The script: a word a second, and a final every four.
WORD_SECONDS = 1.0
SEGMENT_WORDS = 4


class ServiceTask:
    """One task, with a disk of its own that dies with it."""

    def __init__(self, cloud: Cloud, balancer: Balancer, **settings: Any) -> None:
        self._cloud = cloud
        self._balancer = balancer
        self._settings = settings
        self._stack = AsyncExitStack()
        self._disk: Path
        self.running: RunningService

    async def start(self) -> None:
        """Start on a new disk, and take connections."""
        self._disk = Path(tempfile.mkdtemp(prefix="drill-task-"))
        model = {"word_seconds": WORD_SECONDS, "words_per_segment": SEGMENT_WORDS}
        settings = {
            "queue_url": self._cloud.resources.queue_url,
            "table_name": self._cloud.resources.table_name,
            "streams_table": self._cloud.resources.streams_table,
            "outbox_path": self._disk / "outbox.sqlite",
            "scripted": json.dumps(model),
            "max_viewers": 4_000,
            "slots": 200,
            "drain_seconds": 20,
        }
        service = running_service(
            **(self._cloud.environment | settings | ANY_NUMBER | self._settings)
        )
        self.running = await self._stack.enter_async_context(service)
        self._balancer.targets.append(self.running.url)

    async def kill(self) -> None:
        """Kill the process and delete its disk."""
        self._leave()
        self.running.process.kill()
        await self.running.process.wait()
        await self._clean()

    async def drain(self) -> int:
        """End by SIGTERM, as ECS does, and return the exit code."""
        self._leave()
        code = await self.running.terminate()
        await self._clean()
        return code

    async def freeze(self, seconds: float) -> None:
        """Stop the process for some seconds; it is not taken out of the balancer."""
        self.running.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.running.process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        """End it, whatever its state."""
        if self.running.process.returncode is None:
            self.running.process.send_signal(signal.SIGCONT)
        self._leave()
        await self._clean()

    def _leave(self) -> None:
        if self.running.url in self._balancer.targets:
            self._balancer.targets.remove(self.running.url)

    async def _clean(self) -> None:
        await self._stack.aclose()
        shutil.rmtree(self._disk, ignore_errors=True)
