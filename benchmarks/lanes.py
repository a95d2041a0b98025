"""The compared ways to transcribe recordings; each lane transcribes one after the other.

Engine   the transcriber alone, in a process of its own
Caller   POST /transcribe
Jobs     the jobs' queue: upload to S3, a message, and the transcript in the bucket
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import aiohttp

from benchmarks.bare_engine import SPEC
from benchmarks.servers import ROOT, START_SECONDS, Server, ServerError, running
from local_cloud.emulator.process import Emulator
from speech.transcribers.choice import TranscriberSpec
from transcripts.documents import Failure, RecordingTranscript
from transcripts.recordings.keys import FAILURE, TranscriptionJob, beside, recording
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

#: How often to look whether a transcript is there, seconds.
LOOK = 0.05
#: A job is given up after so long: the server may have died. Seconds.
JOB_SECONDS = 600


class Lane(Protocol):
    """Takes one recording after the other."""

    async def transcribe(self, path: Path) -> tuple[str, float, float]:
        """Return text, duration and CPU time in seconds (0 where that is measured elsewhere)."""


class Engine:
    """The engine alone."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def transcribe(self, path: Path) -> tuple[str, float, float]:
        """Return text, duration and CPU time, seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n".encode())
        line = await self._process.stdout.readline()
        if not line:
            raise ServerError(f"the engine died over {path.name}")
        reply = json.loads(line)
        return reply["text"], reply["duration"], reply["cpu"]


@contextlib.asynccontextmanager
async def engine(spec: TranscriberSpec) -> AsyncIterator[Engine]:
    """Start a transcriber in a process of its own.

    Raises:
        ServerError: it did not start.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.bare_engine",
        SPEC.dump_json(spec).decode(),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            if not await process.stdout.readline():
                raise ServerError("the engine did not start")
        yield Engine(process)
    finally:
        process.stdin.close()
        await process.wait()


class Caller:
    """A client of the server."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self._url = f"{server.url}/transcribe"
        self._session = session

    async def transcribe(self, path: Path) -> tuple[str, float, float]:
        """Return text and duration; CPU time is measured elsewhere."""
        form = aiohttp.FormData()
        try:
            with path.open("rb") as file:
                form.add_field("file", file, filename=path.name)
                async with self._session.post(self._url, data=form) as answer:
                    body = await answer.json(content_type=None)
        except aiohttp.ClientError as error:
            raise ServerError(f"the server is gone: {error}") from error
        if answer.status != 200:
            raise ServerError(f"{path.name}: {answer.status} {body.get('code')}")
        return body["text"], body["duration"], 0.0


class Jobs:
    """The queue of jobs, and the bucket where the transcripts appear."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        """Make a bucket and a queue of this name."""
        self._s3 = emulator.client("s3")
        self._sqs = emulator.client("sqs")
        self._name = name
        self._s3.create_bucket(Bucket=name)
        self._queue_url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        self.bucket = DocumentStore(Objects(name, self._s3))
        #: The environment of a server that works the queue off.
        self.environment = emulator.environment() | {
            "RECORDINGS_BUCKET": name,
            "QUEUE_URL": self._queue_url,
        }

    async def send(self, name: str, content: bytes) -> str:
        """Upload a recording and send a job for it; return the transcript's key."""
        return await asyncio.to_thread(self._send, f"uploads/{uuid4()}/{name}", content)

    async def transcribe(self, path: Path) -> tuple[str, float, float]:
        """Return text and duration; CPU time is measured elsewhere."""
        content = await asyncio.to_thread(path.read_bytes)
        transcript_key = await self.send(path.name, content)
        try:
            async with asyncio.timeout(JOB_SECONDS):
                return await self._transcript(path, transcript_key)
        except TimeoutError:
            raise ServerError(f"{path.name}: no transcript within {JOB_SECONDS} s") from None

    async def _transcript(self, path: Path, transcript_key: str) -> tuple[str, float, float]:
        while True:
            found = await asyncio.to_thread(self.bucket.get, transcript_key, RecordingTranscript)
            if found is not None:
                return found.document.text, found.document.duration, 0.0
            failure = await asyncio.to_thread(
                self.bucket.get, beside(transcript_key, FAILURE), Failure
            )
            if failure is not None:
                raise ServerError(f"{path.name}: {failure.document.code}")
            await asyncio.sleep(LOOK)

    def _send(self, key: str, content: bytes) -> str:
        self._s3.put_object(Bucket=self._name, Key=key, Body=content)
        job = TranscriptionJob(
            bucket=self._name, key=key, event_id=str(uuid4()), requested_at=datetime.now(UTC)
        )
        self._sqs.send_message(
            QueueUrl=self._queue_url, MessageBody=job.model_dump_json(by_alias=True)
        )
        return recording(key).transcript_key


@contextlib.contextmanager
def server_for_recordings(
    settings: Mapping[str, object], environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run the server; `settings` are environment variables in lower case.

    Raises:
        ServerError: it did not start.
    """
    given = {name.upper(): str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "gpu_server"]
    whole = {"PORT": "0", **(environment or {}), **given}
    with running("the server for recordings", command, whole) as server:
        yield server


async def loaded(
    server: Server, session: aiohttp.ClientSession, slots: int, paths: Sequence[Path]
) -> None:
    """Wait until every slot has loaded its model, which is when all slots are busy."""
    async with asyncio.timeout(START_SECONDS):
        await until_healthy(server, session)
        caller = Caller(server, session)
        while True:
            work = [asyncio.create_task(caller.transcribe(paths[-1])) for _ in range(slots)]
            all_at_work = False
            while not all(task.done() for task in work):
                await asyncio.sleep(0.02)
                all_at_work |= (await queue_of(server, session))["running"] == slots
            for task in work:
                await task
            if all_at_work:
                return


async def until_healthy(server: Server, session: aiohttp.ClientSession) -> None:
    """Wait until the server is ready for recordings."""
    while True:
        async with session.get(f"{server.url}/health") as answer:
            if answer.status == 200:
                return
        await asyncio.sleep(LOOK)


async def queue_of(server: Server, session: aiohttp.ClientSession) -> dict[str, int]:
    """Return the state of the server's queue."""
    async with session.get(f"{server.url}/health") as answer:
        queue: dict[str, int] = (await answer.json())["queue"]
    return queue
