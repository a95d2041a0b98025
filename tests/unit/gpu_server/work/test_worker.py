"""The worker of the jobs' queue: what becomes of a message."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from moto import mock_aws
from moto.core.utils import unix_time_millis
from prometheus_client import generate_latest

from gpu_server.problems import (
    Busy,
    Conflict,
    EngineFailure,
    EngineStalled,
    Problem,
    RefusedPlace,
    Stopping,
    StorageFailed,
    Unprocessable,
)
from gpu_server.telemetry import Metrics
from gpu_server.work import worker as module
from gpu_server.work.blame import Blame
from gpu_server.work.recordings import RecordingJob, StoredTranscript
from gpu_server.work.worker import QueueWorker
from transcripts.documents import FailureCode
from transcripts.recordings.keys import TranscriptionJob

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

pytestmark = pytest.mark.unit

BUCKET = "recordings-of-a-test"
KEY = "uploads/talk.mp3"


def job(bucket: str, key: str) -> str:
    asked = datetime(2026, 11, 20, tzinfo=UTC)
    made = TranscriptionJob(bucket=bucket, key=key, event_id="e1", requested_at=asked)
    return made.model_dump_json(by_alias=True)


@dataclass
class Ready:
    is_ready: bool = True


@dataclass
class Recordings:
    """Treats each order as the test sets it."""

    error: Exception | None = None
    #: Keys of those that fail; all by default.
    bad: frozenset[str] | None = None
    blame: Blame = field(default_factory=Blame)
    #: Keys of those that were given up, each with how many attempts there were.
    given_up: dict[str, int] = field(default_factory=dict)
    orders: list[RecordingJob] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    takes: float = 0.0
    #: For each order, how many others were in work when it came.
    beside: list[int] = field(default_factory=list)
    in_work: int = 0
    #: Keys of those that a slot has begun.
    at_slots: set[str] = field(default_factory=set)

    def check_bucket(self, bucket: str) -> None:
        if bucket != BUCKET:
            raise RefusedPlace("not ours")

    def has_begun(self, order: RecordingJob) -> bool:
        return order.key in self.at_slots

    async def transcribe(self, order: RecordingJob, *, background: bool) -> StoredTranscript:
        assert background
        self.orders.append(order)
        self.beside.append(self.in_work)
        self.began.set()
        self.in_work += 1
        try:
            await self.go.wait()
            await asyncio.sleep(self.takes)
        finally:
            self.in_work -= 1
        if self.error is not None and (self.bad is None or order.key in self.bad):
            if not (isinstance(self.error, Problem) and self.error.is_failure):
                raise self.error
            problem = copy(self.error)
            problem.cause = self.blame.record_failure(order.key)
            raise problem
        self.blame.record_success(order.key)
        return StoredTranscript(transcript_key=order.transcript_key, already=False, transcript=None)

    async def give_up(self, order: RecordingJob, problem: Problem, *, attempts: int) -> bool:
        if isinstance(problem, StorageFailed):
            return False  # its bytes are not known
        self.given_up[order.key] = attempts
        return True


@dataclass
class Queue:
    client: SQSClient
    url: str

    def send(self, body: str | None = None, *, key: str = KEY) -> None:
        body = job(BUCKET, key) if body is None else body
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def counts(self) -> tuple[int, int]:
        """Return how many messages are visible, and how many are in somebody's hands."""
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        known = answer["Attributes"]
        return (
            int(known["ApproximateNumberOfMessages"]),
            int(known["ApproximateNumberOfMessagesNotVisible"]),
        )


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("sqs", region_name="us-east-1")
        yield Queue(client, client.create_queue(QueueName="jobs")["QueueUrl"])


@asynccontextmanager
async def working(
    queue: Queue,
    recordings: Recordings,
    *,
    metrics: Metrics | None = None,
    visibility: float = 30.0,
    ready: bool = True,
) -> AsyncIterator[tuple[QueueWorker, asyncio.Task[None]]]:
    worker = QueueWorker(
        queue.client,
        queue.url,
        cast("Any", recordings),
        inference=cast("Any", Ready(ready)),
        slots=1,
        visibility=visibility,
        poll=0,
        metrics=metrics or Metrics(),
    )
    task = asyncio.create_task(worker.run())
    try:
        yield worker, task
    finally:
        await worker.release_jobs()
        await task


async def becomes(queue: Queue, visible: int, held: int) -> None:
    async with asyncio.timeout(10):
        while await asyncio.to_thread(queue.counts) != (visible, held):  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


async def test_a_job_is_done_and_its_message_deleted(queue: Queue) -> None:
    queue.send()
    recordings = Recordings()
    recordings.go.set()

    async with working(queue, recordings):
        await becomes(queue, 0, 0)

    [done] = recordings.orders
    assert (done.key, done.transcript_key) == (KEY, "transcripts/uploads/talk.mp3.json")


async def test_a_job_is_taken_for_each_slot_and_one_is_prefetched(queue: Queue) -> None:
    for number in range(4):
        queue.send(key=f"uploads/{number}.mp3")
    recordings = Recordings()

    async with working(queue, recordings):
        await becomes(queue, 2, 2)
        await asyncio.sleep(0.05)

        assert len(recordings.orders) == 2
        assert queue.counts() == (2, 2)


async def test_a_permanent_failure_deletes_the_job(queue: Queue) -> None:
    queue.send()
    recordings = Recordings(error=Unprocessable(FailureCode.NOT_AUDIO, "no audio"))
    recordings.go.set()

    async with working(queue, recordings):
        await becomes(queue, 0, 0)

    assert len(recordings.orders) == 1


async def test_a_transient_failure_retries_the_job_later(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY", 0)
    monkeypatch.setattr(module, "LONGEST_OUTAGE_PAUSE", 0.01)
    queue.send()
    recordings = Recordings(error=EngineFailure("crashed"))
    recordings.go.set()

    async with working(queue, recordings):
        async with asyncio.timeout(10):
            while len(recordings.orders) < 2:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
        recordings.error = None
        await becomes(queue, 0, 0)


@pytest.mark.parametrize(
    ("error", "taken"),
    [
        # Two, of which nobody knows why; a third; and the one that was made ready.
        (EngineFailure("crashed"), 4),
        (StorageFailed("S3 cannot be reached"), 4),
        (Unprocessable(FailureCode.NOT_AUDIO, "no audio"), 6),
        (Conflict("somebody is at it"), 6),
        (Busy("too many requests"), 6),
    ],
)
async def test_an_outage_does_not_use_up_the_attempts_of_all_that_wait(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, error: Exception, taken: int
) -> None:
    outages = []

    async def pause(worker: QueueWorker, seconds: float) -> None:
        if seconds in (module.CHECK_INTERVAL, module.PREFETCH_INTERVAL):
            await asyncio.sleep(0)
            return
        outages.append(seconds)
        await worker._stopping.wait()

    monkeypatch.setattr(QueueWorker, "_pause", pause)
    for number in range(6):
        queue.send(key=f"uploads/{number}.mp3")
    recordings = Recordings(error=error)
    recordings.go.set()

    async with working(queue, recordings):
        async with asyncio.timeout(10):
            while len(recordings.orders) < 6 and not outages:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

        assert len(recordings.orders) <= taken
        assert bool(outages) == (taken == 4)


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        "{}",
        job("somebody-elses", "uploads/a"),
        job(BUCKET, "elsewhere"),
    ],
)
async def test_a_message_that_is_no_job_is_left_to_the_redrive_policy(
    queue: Queue, body: str
) -> None:
    queue.send(body)
    metrics = Metrics()
    recordings = Recordings()
    recordings.go.set()

    async with working(queue, recordings, metrics=metrics):
        queue.send()
        async with asyncio.timeout(10):
            while not recordings.orders:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
        await becomes(queue, 0, 1)

    assert len(recordings.orders) == 1
    assert (
        metrics.registry.get_sample_value("cloudscribe_transcriber_jobs_total", {"end": "poison"})
        == 1
    )


async def test_an_unfinished_job_is_released_at_once(queue: Queue) -> None:
    queue.send()
    recordings = Recordings()

    async with working(queue, recordings) as (worker, task):
        await recordings.began.wait()
        await becomes(queue, 0, 1)
        await worker.release_jobs()
        await task

        assert queue.counts() == (1, 0)


async def test_a_job_that_waits_until_the_end_is_released_at_once(queue: Queue) -> None:
    queue.send()
    recordings = Recordings(error=Stopping("the server stops"))

    async with working(queue, recordings) as (worker, task):
        await recordings.began.wait()
        worker.stop()
        recordings.go.set()
        await task

        assert queue.counts() == (1, 0)


async def test_what_is_begun_is_finished_when_there_is_time(queue: Queue) -> None:
    for number in range(3):
        queue.send(key=f"uploads/{number}.mp3")
    recordings = Recordings()

    async with working(queue, recordings) as (worker, task):
        await becomes(queue, 1, 2)
        async with asyncio.timeout(10):
            while len(recordings.orders) < 2:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
        recordings.at_slots = {recordings.orders[0].key}
        worker.stop()
        recordings.go.set()
        await task

    assert len(recordings.orders) == 2
    assert queue.counts() == (2, 0)  # the one that was only made ready is another server's


async def test_while_jobs_fail_for_no_reason_of_theirs_one_at_a_time_is_tried(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "backoff", lambda _failures, **_: 0.01)
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.01)
    for number in range(8):
        queue.send(key=f"uploads/{number}.mp3")
    recordings = Recordings(error=StorageFailed("S3 cannot be reached"), takes=0.05)

    async with working(queue, recordings):
        await becomes(queue, 6, 2)  # before any has failed
        recordings.go.set()
        async with asyncio.timeout(10):
            while len(recordings.orders) < 7:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)

    assert recordings.beside[4:] == [0, 0, 0]


async def test_a_finished_job_is_not_released(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.send()
    recordings = Recordings()
    recordings.go.set()
    metrics = Metrics()
    deleting, may_go = asyncio.Event(), asyncio.Event()
    delete = QueueWorker._delete

    async def slowly(worker: QueueWorker, message: Any) -> None:
        deleting.set()
        await may_go.wait()
        await delete(worker, message)

    monkeypatch.setattr(QueueWorker, "_delete", slowly)
    async with working(queue, recordings, metrics=metrics) as (worker, task):
        await deleting.wait()
        worker.stop()
        may_go.set()
        await task

    assert queue.counts() == (0, 0)
    assert 'jobs_total{end="given_back"}' not in generate_latest(metrics.registry).decode()


async def test_a_defect_of_one_loop_leaves_others_what_they_have_in_hand(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.send()
    recordings = Recordings()
    receive = QueueWorker._receive

    async def broken(worker: QueueWorker, wait: int) -> Any:
        if recordings.orders:
            raise RuntimeError("can't start new thread")
        return await receive(worker, wait)

    monkeypatch.setattr(QueueWorker, "_receive", broken)
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.001)
    monkeypatch.setattr(module, "PREFETCH_INTERVAL", 0.001)
    worker = QueueWorker(
        queue.client,
        queue.url,
        cast("Any", recordings),
        inference=cast("Any", Ready()),
        slots=1,
        visibility=30,
        poll=0,
        metrics=Metrics(),
    )
    task = asyncio.create_task(worker.run())
    await recordings.began.wait()
    recordings.at_slots = {KEY}
    await worker._stopping.wait()
    recordings.go.set()

    with pytest.raises(RuntimeError, match="new thread"):
        await task
    assert queue.counts() == (0, 0)


async def test_a_job_that_lasts_stays_the_workers_own(queue: Queue) -> None:
    queue.send()
    recordings = Recordings()

    async with working(queue, recordings, visibility=1.0):
        await recordings.began.wait()
        await asyncio.sleep(2.5)  # longer than it was asked for at first

        assert queue.counts() == (0, 1)
        recordings.go.set()
        await becomes(queue, 0, 0)

    assert len(recordings.orders) == 1


async def test_without_a_model_no_job_is_taken(queue: Queue) -> None:
    queue.send()

    async with working(queue, Recordings(), ready=False):
        await asyncio.sleep(0.1)

        assert queue.counts() == (1, 0)


async def test_a_queue_that_cannot_be_reached_is_tried_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.01)
    url, queue.url = queue.url, f"{queue.url}-absent"
    recordings = Recordings()
    recordings.go.set()

    async with working(queue, recordings) as (worker, _):
        await asyncio.sleep(0.1)
        queue.url = worker._queue_url = url
        queue.send()
        await becomes(queue, 0, 0)


def test_an_outage_does_not_last_because_nobody_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(module, "backoff", lambda failures, **_: failures)
    outage = module._Outage()
    fails, succeeds = module._End("retried", outage=True), module._End("done", succeeded=True)
    its_own = module._End("retried")

    assert not outage.is_ongoing
    assert outage.after(90.0, fails) == 1
    assert outage.after(95.0, fails) == 1  # was in hand when the first failed
    assert outage.after(96.0, its_own) == 0
    assert outage.is_ongoing
    now = 110.0
    assert outage.after(105.0, fails) == 2
    now += module.LONGEST_OUTAGE_PAUSE
    assert not outage.is_ongoing  # the one who was to try has a job that lasts longer
    assert outage.after(now, succeeds) == 0
    assert outage.after(now, fails) == 1


# --- whose failure it is --------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have jobs tried again at once, and no outage last long."""
    monkeypatch.setattr(module, "FIRST_RETRY", 0)
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(module, "PREFETCH_INTERVAL", 0.01)


def puts_aside(queue: Queue, attempts: int) -> str:
    """Give the queue a redrive policy; return the URL of its dead letters."""
    url = queue.client.create_queue(QueueName="dead")["QueueUrl"]
    arn = queue.client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    policy = {"maxReceiveCount": attempts, "deadLetterTargetArn": arn["Attributes"]["QueueArn"]}
    queue.client.set_queue_attributes(
        QueueUrl=queue.url, Attributes={"RedrivePolicy": json.dumps(policy)}
    )
    return url


@pytest.mark.usefixtures("at_once")
async def test_bad_jobs_pause_nobody_and_are_given_up_at_their_last_attempt(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = QueueWorker._pause
    pauses: list[float] = []

    async def pause(worker: QueueWorker, seconds: float) -> None:
        if seconds > module.PREFETCH_INTERVAL:
            pauses.append(seconds)
        await paused(worker, min(seconds, 0.01))

    monkeypatch.setattr(QueueWorker, "_pause", pause)
    puts_aside(queue, 3)
    metrics = Metrics()
    keys = ["good-0", "bad-0", "good-1", "good-2", "bad-1", "good-3"]
    for key in keys:
        queue.send(key=f"uploads/{key}")
    recordings = Recordings(
        error=EngineFailure("crashed"), bad=frozenset({"uploads/bad-0", "uploads/bad-1"})
    )
    recordings.go.set()

    async with working(queue, recordings, metrics=metrics):
        await becomes(queue, 0, 0)

    assert recordings.given_up == {"uploads/bad-0": 3, "uploads/bad-1": 3}
    tried = Counter(order.key for order in recordings.orders)
    assert tried == {f"uploads/{key}": 3 if "bad" in key else 1 for key in keys}
    assert pauses == []
    given_up = {"end": "given_up"}
    assert metrics.registry.get_sample_value("cloudscribe_transcriber_jobs_total", given_up) == 2


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("error", "keys"),
    [
        (EngineFailure("crashed"), ["a", "b", "c"]),
        # Not the recordings' failure, and about no bytes that could be named.
        (StorageFailed("S3 refused"), ["a"]),
    ],
)
async def test_what_an_outage_fails_is_put_aside_without_a_verdict(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, error: Problem, keys: list[str]
) -> None:
    monkeypatch.setattr(module, "LONGEST_OUTAGE_PAUSE", 0.01)
    monkeypatch.setattr(module, "FIRST_RETRY", 20)  # after all others were tried
    began = unix_time_millis()
    monkeypatch.setattr(
        "moto.sqs.models.unix_time_millis", lambda: began + 50 * (unix_time_millis() - began)
    )
    dead = Queue(queue.client, puts_aside(queue, 2))
    for key in keys:
        queue.send(key=f"uploads/{key}")
    recordings = Recordings(error=error)
    recordings.go.set()

    async with working(queue, recordings, visibility=600):
        await becomes(dead, len(keys), 0)

    assert len(recordings.orders) == 2 * len(keys)
    assert recordings.given_up == {}


@pytest.mark.usefixtures("at_once")
async def test_a_bad_job_gets_no_verdict_in_an_outage_and_pauses_nobody(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = QueueWorker._pause
    pauses: list[float] = []

    async def pause(worker: QueueWorker, seconds: float) -> None:
        pauses.append(seconds)
        await paused(worker, min(seconds, 0.01))

    monkeypatch.setattr(QueueWorker, "_pause", pause)
    dead = Queue(queue.client, puts_aside(queue, 2))
    recordings = Recordings(error=EngineFailure("crashed"))
    recordings.go.set()
    recordings.blame.record_failure(KEY)
    recordings.blame.record_success("good")
    for other in ("one", "another"):
        recordings.blame.record_failure(other)
    queue.send()

    async with working(queue, recordings):
        await becomes(dead, 1, 0)

    assert recordings.given_up == {}
    assert set(pauses) <= {module.CHECK_INTERVAL, module.PREFETCH_INTERVAL, 0.0}


@pytest.mark.usefixtures("at_once")
async def test_a_job_at_which_the_engine_stalls_keeps_others_waiting_twice_at_most(
    queue: Queue,
) -> None:
    queue.send()
    recordings = Recordings(error=EngineStalled("no sign of life"))
    recordings.go.set()

    async with working(queue, recordings):
        await becomes(queue, 0, 0)

    assert recordings.given_up == {KEY: 2}


@pytest.mark.usefixtures("at_once")
async def test_without_a_redrive_policy_a_bad_job_is_given_up_all_the_same(queue: Queue) -> None:
    queue.send()
    recordings = Recordings(error=EngineFailure("crashed"))
    recordings.go.set()

    async with working(queue, recordings):
        await becomes(queue, 0, 0)

    assert recordings.given_up == {KEY: module.ATTEMPTS}
