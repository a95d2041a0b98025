"""The server for recordings: on the test's loop with a scripted transcriber, or as a process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gpu_server.app import RunningServer, assemble, serve
from gpu_server.settings import Settings
from tests.support.scripted_transcriber import MODULE
from tests.support.service import RunningService, read_logs

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
STOP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Client:
    """Calls a server."""

    url: str
    session: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def get(self, path: str, **headers: str) -> Answer:
        async with self.session.get(self.url + path, headers=headers) as answer:
            return await _read(answer)

    async def post(self, path: str, body: object, **headers: str) -> Answer:
        async with self.session.post(self.url + path, json=body, headers=headers) as answer:
            return await _read(answer)

    async def upload(
        self, recording: bytes | str, fields: Mapping[str, str] | None = None, **headers: str
    ) -> Answer:
        form = aiohttp.FormData()
        for name, value in (fields or {}).items():
            form.add_field(name, value)
        content = recording.encode() if isinstance(recording, str) else recording
        form.add_field("file", io.BytesIO(content), filename="it.wav")
        async with self.session.post(
            f"{self.url}/transcribe", data=form, headers=headers
        ) as answer:
            return await _read(answer)


async def _read(answer: aiohttp.ClientResponse) -> Answer:
    kind = answer.content_type
    body = await answer.json(content_type=None) if "json" in kind else {"text": await answer.text()}
    return Answer(answer.status, body, answer.headers)


@contextlib.asynccontextmanager
async def gpu_server(
    *, child: str = MODULE, loaded: bool = True, **settings: Any
) -> AsyncIterator[tuple[Client, RunningServer]]:
    """Run a server on the test's own loop."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with (
            assemble(Settings(**settings), child=child) as server,
            serve(server, listening),
            aiohttp.ClientSession() as session,
        ):
            if loaded:
                await server.parts.inference.wait_until_loaded()
            yield Client(url, session), server


@contextlib.asynccontextmanager
async def gpu_server_process(
    environment: Mapping[str, str] | None = None, **settings: object
) -> AsyncIterator[tuple[RunningService, Client]]:
    """Run `python -m gpu_server` with these settings (as in the environment, lower case)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gpu_server",
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "PORT": "0",
        }
        | dict(environment or {})
        | {name.upper(): str(value) for name, value in settings.items()},
        stderr=asyncio.subprocess.PIPE,
    )
    service = RunningService(process, url="")
    listening = asyncio.Event()
    reading = asyncio.create_task(read_logs(service, listening))
    try:
        async with asyncio.timeout(START_SECONDS):
            await listening.wait()
        if not service.url:
            raise AssertionError(f"the server did not start: {service.logs}")
        async with aiohttp.ClientSession() as session:
            yield service, Client(service.url, session)
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
