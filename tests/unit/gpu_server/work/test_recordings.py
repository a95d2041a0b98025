"""Recordings in S3: their transcripts are stored once, or why there are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from gpu_server.problems import (
    Cause,
    Conflict,
    Defect,
    EngineFailure,
    NotOffered,
    Problem,
    RefusedPlace,
    StorageFailed,
    Unprocessable,
)
from gpu_server.telemetry import Metrics
from gpu_server.work.inference import Inference
from gpu_server.work.recordings import (
    OWN_FAILURE_RETRY,
    SLICE,
    RecordingJob,
    RecordingTranscriber,
    to_job,
)
from gpu_server.work.spool import Spool
from speech.transcribers.base import Transcription, TranscriptionOptions
from speech.transcribers.errors import BadRecording, OptionUnavailable, TranscriptionFailed
from speech.transcribers.messages import Loaded
from tests.support.eventually import eventually
from transcripts.documents import Failure, FailureCode, RecordingTranscript, Segment
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.unit

BUCKET = "recordings-of-a-test"
CHUNK = "users/ann/audio/sessions/monday/chunk-001.webm"
CHUNK_TRANSCRIPT = "users/ann/transcripts/monday-chunk-001.json"
UPLOAD = "uploads/talk.mp3"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


@dataclass
class Slot:
    """A transcriber that returns what is in the file, or fails as it is set to."""

    error: Exception | None = None
    #: What is in the files that fail; every file by default.
    bad: bytes | None = None
    received: list[bytes] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> Loaded:
        self.gone = asyncio.Event()
        return Loaded(engine="fake 1", model="1", device="cpu", pid=1)

    async def transcribe(self, path: Path, options: TranscriptionOptions) -> Transcription:
        content = path.read_bytes()  # noqa: ASYNC240 - a small file
        self.received.append(content)
        self.began.set()
        await self.go.wait()
        if self.error is not None and self.bad in (None, content):
            raise self.error
        return Transcription(
            duration=2.0,
            language=options.language or "en-US",
            engine="fake 1",
            segments=(Segment(start_time=0.0, end_time=2.0, text=content.decode()),),
        )

    async def stop(self) -> None:
        self.gone.set()


@asynccontextmanager
async def recordings(
    s3: S3Client, folder: Path, slot: Slot, *, max_bytes: int = 1000
) -> AsyncIterator[RecordingTranscriber]:
    with Spool(folder, max_bytes=max_bytes) as spool:
        async with Inference(lambda: slot, slots=1, limit=8, metrics=Metrics()) as inference:
            await inference.wait_until_loaded()
            made = RecordingTranscriber(
                s3,
                {BUCKET: DocumentStore(Objects(BUCKET, s3))},
                inference=inference,
                spool=spool,
                max_seconds=100,
            )
            try:
                yield made
            finally:
                await made.close()


def upload(s3: S3Client, key: str, content: bytes = b"hello") -> str:
    return s3.put_object(Bucket=BUCKET, Key=key, Body=content)["ETag"]


def keys(s3: S3Client) -> set[str]:
    return {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def free() -> Slot:
    slot = Slot()
    slot.go.set()
    return slot


async def test_a_transcript_is_stored_where_it_belongs(s3: S3Client, tmp_path: Path) -> None:
    etag = upload(s3, CHUNK)
    async with recordings(s3, tmp_path, free()) as made:
        outcome = await made.transcribe(to_job(BUCKET, CHUNK))

    found = DocumentStore(Objects(BUCKET, s3)).get(CHUNK_TRANSCRIPT, RecordingTranscript)
    assert found is not None
    assert outcome.transcript is not None
    assert found.document.segments == outcome.transcript.segments
    assert (found.document.key, found.document.etag) == (CHUNK, etag)
    assert (found.document.text, found.document.duration) == ("hello", 2.0)
    assert not outcome.already


async def test_a_single_file_gets_captions_too(s3: S3Client, tmp_path: Path) -> None:
    upload(s3, UPLOAD)
    async with recordings(s3, tmp_path, free()) as made:
        await made.transcribe(to_job(BUCKET, UPLOAD))

    assert {f"transcripts/uploads/talk.mp3{each}" for each in (".json", ".srt", ".vtt", ".txt")} < (
        keys(s3)
    )


async def test_what_is_transcribed_already_is_not_computed_again(
    s3: S3Client, tmp_path: Path
) -> None:
    upload(s3, CHUNK)
    slot = free()
    async with recordings(s3, tmp_path, slot) as made:
        await made.transcribe(to_job(BUCKET, CHUNK))
        again = await made.transcribe(to_job(BUCKET, CHUNK))
        stored = await made.stored(to_job(BUCKET, CHUNK))

    assert again.already
    assert stored is not None
    assert stored.text == "hello"
    assert len(slot.received) == 1


async def test_who_asks_at_the_same_time_waits_for_the_same_work(
    s3: S3Client, tmp_path: Path
) -> None:
    upload(s3, CHUNK)
    slot = Slot()
    async with recordings(s3, tmp_path, slot) as made:
        asking = [
            asyncio.create_task(made.transcribe(to_job(BUCKET, CHUNK), background=each % 2 == 0))
            for each in range(5)
        ]
        await slot.began.wait()
        slot.go.set()
        outcomes = await asyncio.gather(*asking)

    assert slot.received == [b"hello"]
    assert all(outcome == outcomes[0] for outcome in outcomes)


async def test_one_of_several_who_gives_up_costs_the_others_nothing(
    s3: S3Client, tmp_path: Path
) -> None:
    upload(s3, CHUNK)
    slot = Slot()
    async with recordings(s3, tmp_path, slot) as made:
        stays = asyncio.create_task(made.transcribe(to_job(BUCKET, CHUNK)))
        goes = asyncio.create_task(made.transcribe(to_job(BUCKET, CHUNK), background=True))
        await slot.began.wait()
        goes.cancel()
        await asyncio.gather(goes, return_exceptions=True)
        slot.go.set()

        assert (await stays).transcript is not None


async def test_a_caller_who_gives_up_in_the_middle_finds_the_transcript_later(
    s3: S3Client, tmp_path: Path
) -> None:
    upload(s3, CHUNK)
    slot = Slot()
    async with recordings(s3, tmp_path, slot) as made:
        impatient = asyncio.create_task(made.transcribe(to_job(BUCKET, CHUNK)))
        await slot.began.wait()
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        slot.go.set()
        await made.finish()

        assert (await made.transcribe(to_job(BUCKET, CHUNK))).already


async def test_a_caller_who_gives_up_while_waiting_keeps_the_place(
    s3: S3Client, tmp_path: Path
) -> None:
    upload(s3, CHUNK)
    upload(s3, UPLOAD)
    slot = Slot()
    async with recordings(s3, tmp_path, slot) as made:
        first = asyncio.create_task(made.transcribe(to_job(BUCKET, UPLOAD)))
        await slot.began.wait()
        impatient = asyncio.create_task(made.transcribe(to_job(BUCKET, CHUNK)))
        await eventually(lambda: made._inference.waiting == 1, "a place in the queue")
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        slot.go.set()
        await first
        await made.finish()

        assert (await made.transcribe(to_job(BUCKET, CHUNK))).already


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRecording(FailureCode.NOT_AUDIO, "no audio"), FailureCode.NOT_AUDIO),
        (BadRecording(FailureCode.TOO_LONG, "too long"), FailureCode.TOO_LONG),
        (BadRecording(FailureCode.UNSUPPORTED_LANGUAGE, "which"), FailureCode.UNSUPPORTED_LANGUAGE),
    ],
)
async def test_why_there_can_be_no_transcript_is_stored(
    s3: S3Client, tmp_path: Path, error: Exception, code: FailureCode
) -> None:
    etag = upload(s3, CHUNK)
    slot = free()
    slot.error = error
    async with recordings(s3, tmp_path, slot) as made:
        with pytest.raises(Unprocessable):
            await made.transcribe(to_job(BUCKET, CHUNK))

    found = DocumentStore(Objects(BUCKET, s3)).get(
        "users/ann/transcripts/monday-chunk-001.failed", Failure
    )
    assert found is not None
    assert (found.document.code, found.document.etag) == (code, etag)


async def test_a_recording_that_is_too_large_has_a_failure_of_these_very_bytes(
    s3: S3Client, tmp_path: Path
) -> None:
    etag = upload(s3, UPLOAD, bytes(2000))
    slot = free()
    async with recordings(s3, tmp_path, slot) as made:
        with pytest.raises(Unprocessable):
            await made.transcribe(to_job(BUCKET, UPLOAD))

    found = DocumentStore(Objects(BUCKET, s3)).get("transcripts/uploads/talk.mp3.failed", Failure)
    assert found is not None
    assert (found.document.code, found.document.etag) == (FailureCode.TOO_LARGE, etag)
    assert slot.received == []


async def test_a_missing_recording_is_reported_and_may_come_later(
    s3: S3Client, tmp_path: Path
) -> None:
    async with recordings(s3, tmp_path, free()) as made:
        with pytest.raises(Unprocessable) as gone:
            await made.transcribe(to_job(BUCKET, CHUNK))

    assert gone.value.failure == FailureCode.GONE
    assert keys(s3) == set()


async def test_captions_of_a_dead_writer_are_repaired_when_the_transcript_is_found(
    s3: S3Client, tmp_path: Path
) -> None:
    upload(s3, UPLOAD)
    captions = "transcripts/uploads/talk.mp3.vtt"
    async with recordings(s3, tmp_path, free()) as made:
        await made.transcribe(to_job(BUCKET, UPLOAD))
        s3.delete_object(Bucket=BUCKET, Key=captions)
        again = await made.transcribe(to_job(BUCKET, UPLOAD))

    assert again.already
    assert captions in keys(s3)


async def test_another_transcript_for_the_same_place_is_refused_meanwhile(
    s3: S3Client, tmp_path: Path
) -> None:
    upload(s3, UPLOAD)
    upload(s3, CHUNK)
    slot = Slot()
    async with recordings(s3, tmp_path, slot) as made:
        place = "results/it.json"
        first = asyncio.create_task(made.transcribe(to_job(BUCKET, UPLOAD, transcript_key=place)))
        await slot.began.wait()
        for other in (
            to_job(BUCKET, CHUNK, transcript_key=place),
            to_job(BUCKET, UPLOAD, transcript_key=place, language="de"),
            to_job(BUCKET, UPLOAD, transcript_key=place, diarize=True),
        ):
            with pytest.raises(Conflict):
                await made.transcribe(other)
        slot.go.set()

        assert (await first).transcript is not None


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (TranscriptionFailed("broken"), EngineFailure),
        (OptionUnavailable("no speakers"), NotOffered),
    ],
)
async def test_what_is_not_the_recordings_fault_is_not_held_against_it(
    s3: S3Client, tmp_path: Path, error: Exception, problem: type[Exception]
) -> None:
    upload(s3, CHUNK)
    slot = free()
    slot.error = error
    async with recordings(s3, tmp_path, slot) as made:
        with pytest.raises(problem):
            await made.transcribe(to_job(BUCKET, CHUNK))
        slot.error = BadRecording(FailureCode.UNSUPPORTED_LANGUAGE, "which")
        with pytest.raises(Unprocessable):
            await made.transcribe(to_job(BUCKET, CHUNK, language="xx"))

    assert keys(s3) == {CHUNK}


async def test_storage_that_fails_is_worth_another_attempt(s3: S3Client, tmp_path: Path) -> None:
    upload(s3, CHUNK)
    async with recordings(s3, tmp_path, free()) as made:
        s3.delete_object(Bucket=BUCKET, Key=CHUNK)
        s3.delete_bucket(Bucket=BUCKET)
        with pytest.raises(StorageFailed) as caught:
            await made.stored(
                RecordingJob(bucket=BUCKET, key=CHUNK, transcript_key="x.json", audio=None)
            )
        assert caught.value.retryable


async def test_a_bucket_that_is_not_ours_is_refused(s3: S3Client, tmp_path: Path) -> None:
    async with recordings(s3, tmp_path, free()) as made:
        with pytest.raises(RefusedPlace):
            await made.transcribe(to_job("somebody-elses", CHUNK))


@pytest.mark.parametrize(
    ("key", "transcript_key"),
    [
        ("elsewhere/talk.mp3", None),
        ("users/ann/audio/sessions/monday/metadata.json", None),
        (UPLOAD, "uploads/other.json"),
        (UPLOAD, "users/ann/audio/sessions/monday/metadata.json"),
        (UPLOAD, "results/talk.txt"),
    ],
)
def test_a_place_that_is_none_of_a_recording_or_transcript_is_refused(
    key: str, transcript_key: str | None
) -> None:
    with pytest.raises(RefusedPlace):
        to_job(BUCKET, key, transcript_key=transcript_key)


async def test_a_transcript_can_go_elsewhere(s3: S3Client, tmp_path: Path) -> None:
    upload(s3, "elsewhere/talk.mp3")
    async with recordings(s3, tmp_path, free()) as made:
        await made.transcribe(
            to_job(BUCKET, "elsewhere/talk.mp3", transcript_key="results/talk.json")
        )

    assert "results/talk.json" in keys(s3)


# --- what keeps failing ---------------------------------------------------------------------------

FAILED = "transcripts/uploads/talk.mp3.failed"


async def attempt(made: RecordingTranscriber, key: str) -> Problem:
    with pytest.raises(Problem) as caught:
        await made.transcribe(to_job(BUCKET, key), background=True)
    return caught.value


async def test_a_recording_that_fails_while_others_succeed_is_found_out(
    s3: S3Client, tmp_path: Path
) -> None:
    etag = upload(s3, UPLOAD, b"bad")
    upload(s3, CHUNK)
    slot = free()
    slot.error, slot.bad = TranscriptionFailed("the transcriber raised X"), b"bad"
    async with recordings(s3, tmp_path, slot) as made:
        first = await attempt(made, UPLOAD)
        await made.transcribe(to_job(BUCKET, CHUNK))
        second = await attempt(made, UPLOAD)

        assert (first.cause, second.cause) == (Cause.UNKNOWN, Cause.RECORDING)
        assert second.retry_after == OWN_FAILURE_RETRY  # the queue is the better place for it
        assert FAILED not in keys(s3)
        assert await made.give_up(to_job(BUCKET, UPLOAD), second, attempts=6)

    found = DocumentStore(Objects(BUCKET, s3)).get(FAILED, Failure)
    assert found is not None
    assert (found.document.code, found.document.etag) == (FailureCode.KEEPS_FAILING, etag)
    assert "6 attempts" in found.document.message
    assert "raised X" in found.document.message


async def test_where_all_recordings_fail_none_is_to_blame(s3: S3Client, tmp_path: Path) -> None:
    upload(s3, UPLOAD)
    upload(s3, CHUNK)
    slot = free()
    slot.error = TranscriptionFailed("broken")
    async with recordings(s3, tmp_path, slot) as made:
        causes = [(await attempt(made, key)).cause for key in (UPLOAD, CHUNK, UPLOAD, CHUNK)]

    assert causes == [Cause.UNKNOWN, Cause.EITHER, Cause.OUTAGE, Cause.OUTAGE]


async def test_what_s3_does_not_give_is_held_against_no_bytes(
    s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(s3, UPLOAD)

    def denied(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")

    monkeypatch.setattr(s3, "get_object", denied)
    async with recordings(s3, tmp_path, free()) as made:
        problem = await attempt(made, UPLOAD)

        assert not await made.give_up(to_job(BUCKET, UPLOAD), problem, attempts=6)
    assert FAILED not in keys(s3)


async def test_what_nobody_thought_of_is_the_recordings_failure_too_and_quotes_nothing(
    s3: S3Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    etag = upload(s3, UPLOAD, b"private words")
    async with recordings(s3, tmp_path, free()) as made:
        with pytest.raises(Defect) as caught:  # no transcript can have such a language
            await made.transcribe(to_job(BUCKET, UPLOAD, language="private language"))

    assert caught.value.etag == etag
    assert "private" not in capsys.readouterr().out


# --- slices of one recording ----------------------------------------------------------------------


def chunk(number: int) -> str:
    return CHUNK.replace("001", f"{number:03}")


@pytest.mark.parametrize(
    ("first", "advised"), [("waits", True), ("transcribed", True), ("no audio", False)]
)
async def test_chunks_that_are_no_files_after_one_that_is_are_reported_as_slices(
    s3: S3Client, tmp_path: Path, first: str, *, advised: bool
) -> None:
    slot = free()
    slot.error = BadRecording(FailureCode.NOT_AUDIO, "It holds no audio.")
    slot.bad = b"slice"
    upload(s3, chunk(1), b"slice" if first == "no audio" else b"a file")
    upload(s3, chunk(2), b"slice")
    async with recordings(s3, tmp_path, slot) as made:
        if first == "transcribed":
            await made.transcribe(to_job(BUCKET, chunk(1)))
        elif first == "no audio":
            await attempt(made, chunk(1))
        problem = await attempt(made, chunk(2))

    found = DocumentStore(Objects(BUCKET, s3)).get(
        "users/ann/transcripts/monday-chunk-002.failed", Failure
    )
    assert found is not None
    assert found.document.message == str(problem)
    assert (SLICE in found.document.message) == advised


async def test_a_first_chunk_and_a_single_file_are_no_slices(s3: S3Client, tmp_path: Path) -> None:
    slot = free()
    slot.error = BadRecording(FailureCode.NOT_AUDIO, "It holds no audio.")
    for key in (chunk(1), chunk(2), UPLOAD):
        upload(s3, key)
    async with recordings(s3, tmp_path, slot) as made:
        for key in (chunk(1), UPLOAD):
            assert str(await attempt(made, key)) == "It holds no audio."
