"""A part that is a Python program of ours, such as `python -m ecs_service`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

from local_cloud import ROOT
from local_cloud.launcher.parts.part import PartFailed, describe_exit, kill_group
from local_cloud.logs import quote_end

#: Limit for a start, seconds: the embedded engine loads its model in every worker.
START_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05


class Program:
    """A program that ends with the launcher, however the launcher ends."""

    name: str

    def __init__(self, *, log: Path, grace: float) -> None:
        """Keep its output in `log`; it has `grace` seconds between SIGTERM and SIGKILL."""
        self.log = log
        self._grace = grace
        self._process: asyncio.subprocess.Process | None = None

    async def _spawn(
        self, module: str, *arguments: str, environment: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        """Run `python -m MODULE`, after an earlier process of this part has ended."""
        await self.stop()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "local_cloud.end_with_parent", f"{self._grace:g}"),
                *(sys.executable, "-m", module, *arguments),
                cwd=ROOT,
                env=dict(environment),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the launcher handles Ctrl-C at the terminal
            )
        return self._process

    async def _wait_until(
        self, process: asyncio.subprocess.Process, is_ready: Callable[[], Awaitable[bool]]
    ) -> None:
        """Wait until the program is ready; end it where it does not become so.

        Raises:
            PartFailed: it ended, or was not ready in time.
        """
        ended = asyncio.create_task(process.wait())
        try:
            async with asyncio.timeout(START_SECONDS):
                while not ended.done():
                    if await is_ready():
                        return
                    await asyncio.wait({ended}, timeout=POLL_SECONDS)
            reason = describe_exit(process.returncode or 0)
        except TimeoutError:
            reason = f"was not ready after {START_SECONDS:g} s"
        except BaseException:
            await self.stop()
            raise
        finally:
            ended.cancel()
        await self.stop()
        raise PartFailed(f"{self.name} {reason}.{quote_end(self.log)}")

    async def wait(self) -> int:
        """Wait until the process ends; return its exit code."""
        if self._process is None:
            raise AssertionError("it was started")
        return await self._process.wait()

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after the grace period. May be called twice."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await process.wait()
        self.kill()  # also workers that a crash left behind
        await process.wait()
        self._process = None

    def kill(self) -> None:
        """Kill the program and its workers."""
        if self._process is not None:
            kill_group(self._process.pid)


async def is_healthy(url: str, *, unavailable_is_enough: bool = False) -> bool:
    """Return whether `url` is answered with success.

    Args:
        url: of a program's health.
        unavailable_is_enough: whether the status 503 counts as success.
    """
    timeout = aiohttp.ClientTimeout(total=2.0)
    with contextlib.suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
        async with aiohttp.ClientSession(timeout=timeout) as client, client.get(url) as answer:
            return answer.ok or (
                unavailable_is_enough and answer.status == HTTPStatus.SERVICE_UNAVAILABLE
            )
    return False


async def is_open(port: int) -> bool:
    """Return whether a server listens on a port of this machine."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False
