"""The server as a process, its bucket and its queue on the emulator."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from tests.integration.test_transcribers import SPEECH, WORDS, write
from tests.support.cloud import Cloud
from tests.support.eventually import eventually
from tests.support.gpu_server import Client, gpu_server_process
from tests.support.recordings import flite, silence
from tests.support.whisper_models import whisper_model
from transcripts.documents import Failure, RecordingTranscript
from transcripts.recordings.keys import TranscriptionJob, recording
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

pytestmark = pytest.mark.integration

LONG_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Jobs:
    """A bucket and a queue of the test's own."""

    cloud: Cloud
    bucket: str
    queue_url: str

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "recordings_bucket": self.bucket,
            "queue_url": self.queue_url,
            "poll_seconds": 1,
            "visibility_seconds": 5,
            "environment": self.cloud.environment,
        }

    def upload(self, key: str, content: bytes) -> None:
        self.cloud.client("s3").put_object(Bucket=self.bucket, Key=key, Body=content)

    def send(self, key: str, bucket: str | None = None) -> None:
        job = TranscriptionJob(
            bucket=bucket or self.bucket,
            key=key,
            event_id=str(uuid4()),
            requested_at=datetime.now(UTC),
        )
        self.cloud.client("sqs").send_message(
            QueueUrl=self.queue_url, MessageBody=job.model_dump_json(by_alias=True)
        )

    def counts(self) -> tuple[int, int]:
        """Return how many messages are visible, and how many are in somebody's hands."""
        attributes = self.cloud.client("sqs").get_queue_attributes(
            QueueUrl=self.queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return (
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        )

    def transcript(self, key: str) -> RecordingTranscript | None:
        home = DocumentStore(Objects(self.bucket, self.cloud.client("s3")))
        found = home.get(recording(key).transcript_key, RecordingTranscript)
        return found.document if found else None

    def failure(self, key: str) -> Failure | None:
        home = DocumentStore(Objects(self.bucket, self.cloud.client("s3")))
        found = home.get(recording(key).transcript_key.replace(".json", ".failed"), Failure)
        return found.document if found else None


@pytest.fixture
def jobs(cloud: Cloud) -> Jobs:
    name = f"recordings-{uuid4().hex[:12]}"
    cloud.client("s3").create_bucket(Bucket=name)
    return Jobs(cloud, name, cloud.client("sqs").create_queue(QueueName=name)["QueueUrl"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whisper_model(tmp_path_factory.mktemp("whisper") / "scripted")


async def begun(client: Client) -> None:
    # That the queue has given a message away is too early: the worker may not have it yet.
    async def running() -> bool:
        health = await client.get("/health")
        return bool(health.body["queue"]["running"])

    await eventually(running, "a transcriber is at work", within=60, every=0.01)


async def test_jobs_of_the_queue_end_in_the_bucket_each_once(
    jobs: Jobs, model: Path, tmp_path: Path
) -> None:
    good, duplicate, bad = "uploads/good.mp3", "uploads/twice.mp3", "uploads/bad.mp3"
    sound = write(tmp_path / "it", flite(SPEECH)).read_bytes()
    for key, content in ((good, sound), (duplicate, sound), (bad, b"Dear Sir or Madam")):
        jobs.upload(key, content)
        jobs.send(key)
    jobs.send(duplicate)
    jobs.send("uploads/never-was.mp3")

    async with gpu_server_process(**jobs.settings, model=model) as (service, client):
        await eventually(lambda: jobs.counts() == (0, 0), "every message is gone", within=60)
        await eventually(lambda: len(service.logged("job_done")) == 3, "three are done")
        jobs.send(duplicate)
        await eventually(lambda: len(service.logged("job_done")) == 4, "a late one, too", within=60)
        await eventually(lambda: jobs.counts() == (0, 0), "its message is gone", within=60)
        metrics = (await client.get("/metrics")).body["text"]
        asked = await client.post(
            "/transcribe-s3", {"s3_input_path": f"s3://{jobs.bucket}/{good}", "return_text": True}
        )
        failed = await client.post("/transcribe-s3", {"s3_input_path": f"s3://{jobs.bucket}/{bad}"})
        status = await service.terminate()

    for key in (good, duplicate):
        transcript = jobs.transcript(key)
        assert transcript is not None
        assert transcript.text.split()[:3] == WORDS[:3]
    # Each was transcribed once: duplicates share the work, or come when it is done.
    assert 'cloudscribe_transcriber_outcomes_total{code="done"} 2.0' in metrics
    *done, late = [entry["already"] for entry in service.logged("job_done")]
    assert sorted(done)[:2] == [False, False]
    assert late is True
    assert (jobs.failure(bad) or pytest.fail("no failure")).code == "not_audio"
    assert jobs.failure("uploads/never-was.mp3") is None  # it may be uploaded yet
    assert asked.status == 200
    assert asked.body["alreadyTranscribed"] is True
    assert asked.body["text"].split()[:3] == WORDS[:3]
    assert asked.body["s3_output_path"] == f"s3://{jobs.bucket}/transcripts/{good}.json"
    assert (failed.status, failed.body["code"]) == (422, "not_audio")
    assert status == 0
    logs = json.dumps(service.logs)
    assert "Americans" not in logs
    assert "uploads/" not in logs


async def test_ecs_is_asked_to_spare_a_server_that_has_a_job(jobs: Jobs, tmp_path: Path) -> None:
    long = write(tmp_path / "long", silence(LONG_SECONDS), container="flac", codec="flac")
    jobs.upload("uploads/long.flac", long.read_bytes())
    jobs.send("uploads/long.flac")
    asked: asyncio.Queue[bool] = asyncio.Queue()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await asked.put((await request.json())["ProtectionEnabled"])
        return web.json_response({"protection": {"ProtectionEnabled": True}})

    async with RawTestServer(answer) as agent:
        url = str(agent.make_url("/v4/abc"))
        settings = jobs.settings | {"transcriber": "embedded", "stop_seconds": 0}
        async with gpu_server_process(**settings, ecs_agent_uri=url):
            assert await asyncio.wait_for(asked.get(), 60) is True


async def test_sigterm_in_the_middle_of_a_job_gives_it_back(jobs: Jobs, tmp_path: Path) -> None:
    long = write(tmp_path / "long", silence(LONG_SECONDS), container="flac", codec="flac")
    jobs.upload("uploads/long.flac", long.read_bytes())
    jobs.send("uploads/long.flac")
    settings = jobs.settings | {"visibility_seconds": 600}

    async with gpu_server_process(**settings, transcriber="embedded", stop_seconds=0.2) as (
        service,
        client,
    ):
        await begun(client)
        status = await service.terminate()

    assert status == 0
    assert jobs.counts() == (1, 0)
    assert jobs.transcript("uploads/long.flac") is None


@pytest.mark.alone
async def test_sigterm_lets_a_job_be_finished_that_can_be(
    jobs: Jobs, model: Path, tmp_path: Path
) -> None:
    # Half an hour of silence: seconds of work.
    long = write(tmp_path / "long", silence(LONG_SECONDS / 2), container="flac", codec="flac")
    for key in ("uploads/first.flac", "uploads/second.flac"):
        jobs.upload(key, long.read_bytes())
        jobs.send(key)

    async with gpu_server_process(**jobs.settings, model=model) as (service, client):
        await begun(client)
        status = await service.terminate()

    transcripts = [jobs.transcript(f"uploads/{name}.flac") for name in ("first", "second")]
    assert status == 0
    assert [bool(each) for each in transcripts].count(True) == 1
    assert jobs.counts() == (1, 0)


async def test_a_worker_that_is_killed_loses_nothing(
    jobs: Jobs, model: Path, tmp_path: Path
) -> None:
    long = write(tmp_path / "long", silence(LONG_SECONDS / 4), container="flac", codec="flac")
    jobs.upload("uploads/long.flac", long.read_bytes())
    jobs.send("uploads/long.flac")

    async with gpu_server_process(**jobs.settings, model=model) as (service, client):
        await begun(client)
        os.kill(service.process.pid, signal.SIGKILL)
        await service.process.wait()
    async with gpu_server_process(**jobs.settings, model=model) as (service, _):
        await eventually(lambda: jobs.counts() == (0, 0), "the message is gone", within=60)
        await service.terminate()

    assert jobs.transcript("uploads/long.flac") is not None


async def test_two_servers_at_the_same_recording_store_one_transcript(
    jobs: Jobs, model: Path, tmp_path: Path
) -> None:
    key = "users/ann/audio/sessions/monday/chunk-001.wav"
    jobs.upload(key, write(tmp_path / "it", flite(SPEECH)).read_bytes())
    body = {"s3_input_path": f"s3://{jobs.bucket}/{key}"}
    settings: dict[str, Any] = {
        "recordings_bucket": jobs.bucket,
        "environment": jobs.cloud.environment,
    }

    async with (
        gpu_server_process(**settings, model=model) as (first, one),
        gpu_server_process(**settings, model=model) as (second, other),
    ):
        for service in (first, second):
            await eventually(partial(service.logged, "transcriber_loaded"), "loaded", within=60)
        answers = await asyncio.gather(
            *(client.post("/transcribe-s3", body) for client in (one, other) for _ in range(2))
        )

    assert [answer.status for answer in answers] == [200] * 4
    transcript = jobs.transcript(key)
    assert transcript is not None
    new = {answer.body["alreadyTranscribed"] for answer in answers}
    assert False in new
