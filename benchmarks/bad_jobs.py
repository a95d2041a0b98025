"""How long good jobs of the queue wait, alone and with bad ones beside them.

The server, its worker and the process of its transcriber are real, with one slot; S3 and SQS are
emulated. What the transcriber does stands in the recordings (`tests.support.scripted_transcriber`):
a good one takes half a second, a bad one has it raise something, or raise and then compute no more,
or kills its process, or hangs until the process is killed. Jobs come at random moments, the good
ones at the same moments in both runs. Latency is from a job's message to its transcript.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import aiohttp

from benchmarks.figures import quantile, table
from benchmarks.servers import START_SECONDS, running
from local_cloud.aws import Emulator
from transcripts.bucket import Recordings
from transcripts.recordings import TranscriptionJob, recording

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

BUCKET: Final = "recordings-of-the-benchmark"
#: What a good recording takes, seconds.
WORK: Final = 0.5
#: What is bad about the bad ones, in turn.
DEEDS: Final = ("raise", "die", "break", "hang")
#: How long a process may give no sign of life, seconds; ten minutes in a real server.
STALL: Final = 2.0
#: After so many seconds a bad job is tried again, and later after twice as many; as in truth.
FIRST_RETRY: Final = 60
#: With bad jobs beside them, the good ones' p95 is at most so many times what it is without.
RATIO: Final = 1.5
#: How often to look whether a transcript is there, seconds.
LOOK: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    good: int = 150
    #: A bad job for so many good ones.
    good_for_a_bad: int = 20
    #: Between two good jobs, on average; seconds.
    between: float = 1.0


QUICK: Final = Plan(good=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Latencies of good jobs, seconds."""

    alone: Sequence[float]
    beside: Sequence[float]
    bad: int

    @property
    def ratio(self) -> float:
        """Of the two p95."""
        return _p95(self.beside) / _p95(self.alone)


def run(plan: Plan, progress: Callable[[str], None]) -> Result:
    """Measure.

    Raises:
        ServerError: the server did not start.
    """
    return asyncio.run(_run(plan, progress))


async def _run(plan: Plan, progress: Callable[[str], None]) -> Result:
    with tempfile.TemporaryDirectory() as data:
        async with Emulator(Path(data, "cloud")) as emulator:
            s3: S3Client = emulator.client("s3")
            sqs = emulator.client("sqs")
            s3.create_bucket(Bucket=BUCKET)
            url = sqs.create_queue(QueueName="jobs")["QueueUrl"]
            settings = {
                "PORT": "0",
                "RECORDINGS_BUCKET": BUCKET,
                "QUEUE_URL": url,
                "STALL_SECONDS": f"{STALL:g}",
                "FIRST_RETRY": str(FIRST_RETRY),
            }
            command = [sys.executable, "-m", "tests.support.scripted_server"]
            with running("the server", command, emulator.environment() | settings) as server:
                await _ready(server.url)
                queue = _Queue(s3, sqs, url)
                progress(f"bad jobs: {plan.good} good ones alone")
                alone = await _good(plan, queue)
                progress("bad jobs: the same with bad ones beside them")
                bad = asyncio.create_task(_bad(plan, queue))
                beside = await _good(plan, queue)
                bad.cancel()
                await asyncio.gather(bad, return_exceptions=True)
    return Result(alone=alone, beside=beside, bad=plan.good // plan.good_for_a_bad)


async def _ready(url: str) -> None:
    async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/health") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(LOOK)


@dataclass(frozen=True, slots=True)
class _Queue:
    """Bucket and queue."""

    s3: S3Client
    sqs: SQSClient
    url: str

    async def send(self, deed: str) -> str:
        """Upload what the transcriber is to do, and a job for it; return the transcript's key."""
        key = f"uploads/{uuid4()}.wav"
        await asyncio.to_thread(self.s3.put_object, Bucket=BUCKET, Key=key, Body=deed.encode())
        job = TranscriptionJob(
            bucket=BUCKET, key=key, event_id=str(uuid4()), requested_at=datetime.now(UTC)
        )
        body = job.model_dump_json(by_alias=True)
        await asyncio.to_thread(self.sqs.send_message, QueueUrl=self.url, MessageBody=body)
        return recording(key).transcript_key

    async def latency(self) -> float:
        """Have a good job done; return how long that took."""
        began = perf_counter()
        key = await self.send(f"take {WORK}")
        bucket = Recordings(BUCKET, self.s3)
        while not await asyncio.to_thread(bucket.exists, key):  # noqa: ASYNC110 - S3 announces nothing
            await asyncio.sleep(LOOK)
        return perf_counter() - began


async def _good(plan: Plan, queue: _Queue) -> list[float]:
    chance = random.Random(7)  # noqa: S311 - no secret
    jobs = []
    for _ in range(plan.good):
        jobs.append(asyncio.create_task(queue.latency()))
        await asyncio.sleep(chance.expovariate(1 / plan.between))
    return await asyncio.gather(*jobs)


async def _bad(plan: Plan, queue: _Queue) -> None:
    chance = random.Random(11)  # noqa: S311 - no secret
    for deed in cycle(DEEDS):
        await asyncio.sleep(chance.expovariate(1 / plan.between / plan.good_for_a_bad))
        await queue.send(deed)


def _p95(seconds: Sequence[float]) -> float:
    return quantile(seconds, 0.95)


def report(result: Result) -> str:
    """Return the table, and whether the promise is kept."""
    rows = [
        (name, len(seconds), *(quantile(seconds, share) for share in (0.5, 0.95, 1.0)))
        for name, seconds in (("good jobs alone", result.alone), ("beside bad", result.beside))
    ]
    word = "kept" if result.ratio <= RATIO else "MISSED"
    told = f"p95 beside bad jobs: {result.ratio:.2f} of what it is without, at most {RATIO}"
    return "\n".join(
        [table(("run", "jobs", "p50 s", "p95 s", "max s"), rows), "", f"- {word}: {told}"]
    )
