from __future__ import annotations

import pytest

from tests.support.recordings_bucket import BUCKET, bucket_in_memory
from tests.support.transcripts import NOW, segment, transcript
from transcripts.documents import Failure, FailureCode
from transcripts.recordings.keys import recording
from transcripts.recordings.objects import Objects
from transcripts.recordings.status import RecordingState, decide_state, is_about, read_state
from transcripts.recordings.store import DocumentStore

pytestmark = pytest.mark.unit

FILE = recording("uploads/talk.mp3")


@pytest.mark.parametrize(
    ("has_transcript", "has_failed", "has_audio", "state"),
    [
        (True, True, True, "transcribed"),
        (True, False, False, "transcribed"),
        (False, True, True, "failed"),
        (False, True, False, "failed"),
        (False, False, True, "waiting"),
        (False, False, False, "unknown"),
    ],
)
def test_a_transcript_counts_more_than_a_failure_and_that_more_than_the_audio(
    *, has_transcript: bool, has_failed: bool, has_audio: bool, state: str
) -> None:
    found = decide_state(has_transcript=has_transcript, has_failed=has_failed, has_audio=has_audio)
    assert found == state
    assert found.is_final == (state in {"transcribed", "failed"})


@pytest.mark.parametrize(
    ("documented", "etag", "same"),
    [
        ("b1", '"b1"', True),
        ('"b1"', "b1", True),
        ("b0", "b1", False),
        (None, "b1", False),
        ("b1", None, True),
        (None, None, True),
    ],
)
def test_a_failure_counts_for_the_bytes_that_it_names(
    *, documented: str | None, etag: str | None, same: bool
) -> None:
    assert is_about(documented, etag) == same


def test_the_state_follows_what_lies_in_the_bucket() -> None:
    with bucket_in_memory() as s3:
        objects = Objects(BUCKET, s3)
        store = DocumentStore(objects)

        def state(etag: str | None) -> RecordingState:
            return read_state(objects, FILE.transcript_key, etag)

        assert state("b1") is RecordingState.WAITING
        failure = Failure(
            key="uploads/talk.mp3",
            etag="b1",
            code=FailureCode.EMPTY,
            message="It is empty.",
            created_at=NOW,
        )
        store.write_failure(FILE, failure)
        assert state("b1") is state(None) is RecordingState.FAILED
        assert state("b2") is RecordingState.WAITING
        store.write_transcript(FILE, transcript(segment("good morning")))
        assert state("b1") is state("b2") is RecordingState.TRANSCRIBED


def test_a_failure_that_is_too_large_names_no_bytes() -> None:
    with bucket_in_memory() as s3:
        key = "transcripts/uploads/talk.mp3.failed"
        s3.put_object(Bucket=BUCKET, Key=key, Body=b" " * 70_000 + b'{"etag": "b1"}')
        objects = Objects(BUCKET, s3)

        assert read_state(objects, FILE.transcript_key, "b1") is RecordingState.WAITING
