"""Measures the latency of the GPU server's health check under full load.

Every slot has a recording of many minutes, three more recordings wait, and large files are
uploaded, each of which is abandoned when it is complete. A process of its own polls `/health`
(`benchmarks.recordings_load`).
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import aiohttp

from benchmarks.lanes import Caller, loaded, queue_of, server_for_recordings
from benchmarks.servers import ROOT, START_SECONDS, Server, ServerError
from speech.decode import decode
from speech.pcm import SAMPLE_RATE
from tests.support.recordings import wav

#: Recordings that wait while the server's health is asked for.
WAITING: Final = 3
UPLOADS: Final = 2
BLOCK: Final = 64 * 1024
BOUNDARY: Final = "a-recording"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    seconds: float = 90.0
    #: Seconds of the recordings in work and of those that wait.
    work_seconds: float = 1800.0
    #: Of each file that comes in meanwhile, bytes.
    upload_bytes: int = 100 * 1024**2


FULL: Final = Plan()
QUICK: Final = Plan(seconds=3, work_seconds=120, upload_bytes=8 * 1024**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`GET /health` under full load; times in milliseconds: p50, p95, p99 and max."""

    slots: int
    asked: int
    #: Answers that were not 200.
    refused: int
    health_ms: dict[str, float]
    #: How late the questions were.
    late_ms: dict[str, float]
    #: The least that was reported meanwhile: recordings in work, and that waited.
    running: int
    waiting: int
    #: Bytes per second that came in.
    upload_rate: float


async def measure(plan: Plan, paths: Sequence[Path], *, slots: int) -> Health:
    """Measure with so many slots; `paths` are recordings of speech.

    Raises:
        ServerError: the server did not start, died, refused something, or was done too early.
    """
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder, "long.wav")
        speech = b"".join(b"".join(decode(path)) for path in paths)
        bytes_wanted = round(plan.work_seconds * SAMPLE_RATE) * 2
        wav(long, (speech * (bytes_wanted // len(speech) + 1))[:bytes_wanted])
        # The embedded engine holds a core of each slot, as nothing else does here.
        settings = {
            "transcriber": "embedded",
            "slots": slots,
            "queue_limit": 50,
            "work_dir": folder,
        }
        with server_for_recordings(settings) as server:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                await loaded(server, session, slots, paths)
                return await _under_load(plan, server, session, long, slots)


async def _under_load(
    plan: Plan, server: Server, session: aiohttp.ClientSession, long: Path, slots: int
) -> Health:
    arrived = 0

    async def upload() -> None:
        nonlocal arrived
        while True:
            arrived += await _upload_and_leave(server, session, plan.upload_bytes)

    caller = Caller(server, session)
    load = [asyncio.create_task(caller.transcribe(long)) for _ in range(slots + WAITING)]
    try:
        await _full(server, session, slots)
        uploads = [asyncio.create_task(upload()) for _ in range(UPLOADS)]
        load += uploads  # type: ignore[arg-type]  # for their end only
        began = perf_counter()
        asking = asyncio.create_task(_ask(server, plan.seconds))
        await asyncio.wait({asking, *load}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            asking.cancel()
            raise ServerError("the load has ended before its time")
        seconds = perf_counter() - began
        answers = asking.result()
    finally:
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
    return Health(slots=slots, upload_rate=arrived / seconds, **answers)


async def _full(server: Server, session: aiohttp.ClientSession, slots: int) -> None:
    """Wait until all slots are busy and the others wait."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            queue = await queue_of(server, session)
            if queue["running"] == slots and queue["waiting"] == WAITING:
                return
            await asyncio.sleep(0.1)


async def _upload_and_leave(server: Server, session: aiohttp.ClientSession, size: int) -> int:
    """Upload a file, hang up when all of it is sent, and return its size."""
    sent = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield (
            f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=it.wav\r\n\r\n"
        ).encode()
        block = bytes(BLOCK)
        for _ in range(size // BLOCK):
            yield block
        yield f"\r\n--{BOUNDARY}--\r\n".encode()
        sent.set()

    async def post() -> None:
        async with session.post(
            f"{server.url}/transcribe",
            data=body(),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        ) as answer:
            problem = await answer.json(content_type=None)
            raise ServerError(f"an upload was answered: {answer.status} {problem.get('code')}")

    posting = asyncio.create_task(post())
    leaving = asyncio.create_task(sent.wait())
    try:
        await asyncio.wait({posting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if posting.done():
            await posting
    finally:
        posting.cancel()
        leaving.cancel()
        await asyncio.gather(posting, leaving, return_exceptions=True)
    return size


async def _ask(server: Server, seconds: float) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.recordings_load",
        server.url,
        "--seconds",
        str(seconds),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:  # nobody waits for it any more
            process.kill()
            await process.wait()
    if process.returncode:
        raise ServerError("the server did not say how it is")
    answer: dict[str, Any] = json.loads(printed)
    return answer
