"""Bad jobs that come again while others wait, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from foundation.backoff import backoff
from gpu_server.problems import EngineFailure
from gpu_server.telemetry import Metrics
from gpu_server.work import worker as module
from gpu_server.work.blame import Blame
from gpu_server.work.recordings import RecordingJob, StoredTranscript
from gpu_server.work.worker import QueueWorker
from tests.support.virtual_time import run_in_virtual_time
from tests.unit.gpu_server.work.test_worker import BUCKET, Ready, job

pytestmark = pytest.mark.unit

VISIBILITY = 300
#: What a good job takes, and a bad one; seconds.
GOOD, BAD = 0.5, 0.01
#: Bad jobs that have failed before, and after how many seconds they come again.
KNOWN, FIRST_RETRY = 10, 15


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Message:
    body: str
    visible_at: float
    receipt: int = 0
    attempts: int = 0


@dataclass
class Queue:
    """Gives its oldest message first, so that those that come again overtake all others."""

    messages: list[Message] = field(default_factory=list)
    receipts: int = 0

    def send(self, key: str) -> None:
        self.messages.append(Message(job(BUCKET, key), now()))

    def receive_message(self, **asked: Any) -> dict[str, Any]:
        for each in self.messages:
            if each.visible_at <= now():
                self.receipts += 1
                each.receipt, each.attempts = self.receipts, each.attempts + 1
                each.visible_at = now() + asked["VisibilityTimeout"]
                known = {"ApproximateReceiveCount": str(each.attempts)}
                receipt = str(each.receipt)
                return {
                    "Messages": [{"Body": each.body, "ReceiptHandle": receipt, "Attributes": known}]
                }
        return {}

    def change_message_visibility(self, **asked: Any) -> None:
        for each in self.messages:
            if str(each.receipt) == asked["ReceiptHandle"]:
                each.visible_at = now() + asked["VisibilityTimeout"]

    def delete_message(self, **asked: Any) -> None:
        self.messages = [m for m in self.messages if str(m.receipt) != asked["ReceiptHandle"]]

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {}}


@dataclass
class Recordings:
    """One slot, at which recordings fail that are called so."""

    blame: Blame
    slot: asyncio.Lock = field(default_factory=asyncio.Lock)
    done_at: dict[str, float] = field(default_factory=dict)

    def check_bucket(self, bucket: str) -> None:
        pass

    def has_begun(self, _order: RecordingJob) -> bool:
        return False

    async def transcribe(self, order: RecordingJob, *, background: bool) -> StoredTranscript:
        assert background
        async with self.slot:
            await asyncio.sleep(BAD if "bad" in order.key else GOOD)
        if "bad" in order.key:
            problem = EngineFailure("crashed")
            problem.cause = self.blame.record_failure(order.key)
            raise problem
        self.blame.record_success(order.key)
        self.done_at[order.key] = now()
        return StoredTranscript(transcript_key=order.transcript_key, already=False, transcript=None)

    async def give_up(
        self, _order: RecordingJob, _problem: EngineFailure, *, attempts: int
    ) -> bool:
        return attempts >= module.ATTEMPTS


async def _wait_of_a_good_job() -> float:
    """Have three new bad jobs fail just before many known ones come again, and send a good one."""
    queue, recordings = Queue(), Recordings(Blame(now))
    worker = QueueWorker(
        cast("Any", queue),
        "https://queue",
        cast("Any", recordings),
        inference=cast("Any", Ready()),
        slots=1,
        visibility=VISIBILITY,
        poll=0,
        metrics=Metrics(),
    )
    working = asyncio.create_task(worker.run())
    for number in range(KNOWN):
        queue.send(f"uploads/bad-{number}.mp3")
        queue.send(f"uploads/good-{number}.mp3")
        await asyncio.sleep(1)
    await asyncio.sleep(FIRST_RETRY - KNOWN - 1)
    for number in range(3):
        queue.send(f"uploads/bad-new-{number}.mp3")
    await asyncio.sleep(1)
    sent_at = now()
    queue.send("uploads/good.mp3")
    async with asyncio.timeout(3600):
        while "uploads/good.mp3" not in recordings.done_at:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.1)
    await worker.release_jobs()
    await working
    return recordings.done_at["uploads/good.mp3"] - sent_at


def test_bad_jobs_that_come_again_do_not_make_an_outage_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def call(_worker: QueueWorker, function: Callable[..., Any], **arguments: Any) -> Any:
        await asyncio.sleep(0.05)
        return function(**arguments)

    monkeypatch.setattr(QueueWorker, "_call", call)
    monkeypatch.setattr(module, "FIRST_RETRY", FIRST_RETRY)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=now))
    monkeypatch.setattr(module, "backoff", partial(backoff, draw=0))

    assert run_in_virtual_time(_wait_of_a_good_job()) < 20
