from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from tests.support.recordings_bucket import BUCKET, Calls, bucket_in_memory, recordings
from tests.support.transcripts import NOW, segment, transcript
from transcripts.documents import (
    Failure,
    FailureCode,
    RecordingTranscript,
    SessionEnd,
    SessionMetadata,
)
from transcripts.recordings.keys import recording
from transcripts.recordings.objects import ATTEMPTS, Contended
from transcripts.recordings.store import (
    LIMITS,
    DocumentStore,
    DocumentTooLarge,
    UnknownVersion,
    UnreadableDocument,
    encode,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.unit

FILE = recording("uploads/talk.mp3")
CHUNK = recording("users/ann/audio/sessions/monday/chunk-1.webm")
KEY = FILE.transcript_key
ONE, OTHER = transcript(segment("one thing")), transcript(segment("another thing"))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with bucket_in_memory() as client:
        yield client


@pytest.fixture
def bucket(s3: S3Client) -> DocumentStore:
    return recordings(s3)


def body(s3: S3Client, key: str) -> str:
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()


def failure(**changes: object) -> Failure:
    fields = {
        "key": "uploads/talk.mp3",
        "code": FailureCode.NOT_AUDIO,
        "message": "It is no audio.",
    }
    return Failure.model_validate({**fields, "etag": "a", "created_at": NOW, **changes})


# --- reading ------------------------------------------------------------------------------------


def test_what_does_not_exist_is_not_there(bucket: DocumentStore) -> None:
    assert not bucket.objects.exists(KEY)
    assert bucket.get(KEY, RecordingTranscript) is None


def test_what_may_not_be_seen_is_an_error_and_not_absent(
    bucket: DocumentStore, s3: S3Client
) -> None:
    with Stubber(s3) as stub:
        stub.add_client_error("head_object", "403", http_status_code=403)

        with pytest.raises(ClientError):
            bucket.objects.exists(KEY)


def test_a_document_comes_back_as_it_was(bucket: DocumentStore, s3: S3Client) -> None:
    bucket.put_once(KEY, ONE)
    found = bucket.get(KEY, RecordingTranscript)

    assert found is not None
    assert found.document == ONE
    assert json.loads(body(s3, KEY))["segments"][0]["words"][0] == {
        "word": "one",
        "startTime": 0.0,
        "endTime": 0.24,
        "confidence": 0.9,
    }


def test_what_a_newer_writer_adds_is_ignored_and_a_newer_version_is_refused(
    bucket: DocumentStore, s3: S3Client
) -> None:
    newer = json.loads(encode(ONE)) | {"mood": "cheerful"}
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=json.dumps(newer))
    found = bucket.get(KEY, RecordingTranscript)
    assert found is not None
    assert found.document == ONE

    s3.put_object(Bucket=BUCKET, Key=KEY, Body=json.dumps(newer | {"version": 2}))
    with pytest.raises(UnknownVersion):
        bucket.get(KEY, RecordingTranscript)


@pytest.mark.parametrize(
    "secret", [b"secret", b"[" * 10_000, b'{"segments": "secret"}', b"\xff", b""]
)
def test_anything_else_is_refused_and_not_quoted(
    bucket: DocumentStore, s3: S3Client, secret: bytes
) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=secret)

    with pytest.raises(UnreadableDocument) as caught:
        bucket.get(KEY, RecordingTranscript)

    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_what_is_too_large_is_not_read(bucket: DocumentStore, s3: S3Client) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b" " * (LIMITS[SessionMetadata] + 1))

    with pytest.raises(DocumentTooLarge):
        bucket.get(KEY, SessionMetadata)


def test_a_listing_goes_beyond_its_first_page(bucket: DocumentStore, s3: S3Client) -> None:
    def ask_for_three(params: dict[str, Any], **_: object) -> None:
        params["MaxKeys"] = 3

    for number in range(7):
        s3.put_object(Bucket=BUCKET, Key=f"a/{number}", Body=b"12345")
    s3.put_object(Bucket=BUCKET, Key="b", Body=b"")
    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", ask_for_three)
    calls = Calls(s3)

    listed = list(bucket.objects.list("a/"))

    assert [each.key for each in listed] == [f"a/{number}" for number in range(7)]
    assert calls.of("ListObjectsV2") == 3
    assert listed[0].size == 5
    assert listed[0].etag == s3.head_object(Bucket=BUCKET, Key="a/0")["ETag"]


# --- writing once -------------------------------------------------------------------------------


def test_of_two_documents_the_first_stays(bucket: DocumentStore, s3: S3Client) -> None:
    assert [bucket.put_once(KEY, each) for each in (ONE, OTHER)] == [True, False]
    assert body(s3, KEY) == encode(ONE).decode()


def test_only_who_has_seen_a_document_replaces_it(bucket: DocumentStore) -> None:
    bucket.put_once(KEY, ONE)
    seen = bucket.get(KEY, RecordingTranscript)
    assert seen is not None

    assert bucket.replace(KEY, OTHER, seen.etag)
    assert not bucket.replace(KEY, ONE, seen.etag)


def test_what_was_deleted_is_not_replaced(bucket: DocumentStore) -> None:
    assert not bucket.replace(KEY, ONE, '"etag"')


def conflicts(s3: S3Client, count: int) -> Stubber:
    stub = Stubber(s3)
    for _ in range(count):
        stub.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    return stub


def test_a_write_that_collides_is_repeated(bucket: DocumentStore, s3: S3Client) -> None:
    with conflicts(s3, ATTEMPTS - 1) as stub:
        stub.add_response(
            "put_object",
            {},
            {
                "Bucket": BUCKET,
                "Key": KEY,
                "Body": encode(ONE),
                "IfNoneMatch": "*",
                "ContentType": "application/json",
                "Metadata": ANY,
            },
        )

        assert bucket.put_once(KEY, ONE)
        stub.assert_no_pending_responses()


def test_a_write_that_collides_for_ever_is_given_up_by_name(
    bucket: DocumentStore, s3: S3Client
) -> None:
    with conflicts(s3, ATTEMPTS), pytest.raises(Contended):
        bucket.put_once(KEY, ONE)


def test_other_refusals_are_raised(bucket: DocumentStore, s3: S3Client) -> None:
    s3.delete_bucket(Bucket=BUCKET)

    with pytest.raises(ClientError, match="NoSuchBucket"):
        bucket.put_once(KEY, ONE)


# --- transcripts and captions -------------------------------------------------------------------


def test_a_single_file_has_captions_before_it_has_a_transcript(
    bucket: DocumentStore, s3: S3Client
) -> None:
    order: list[str] = []
    s3.meta.events.register(
        "provide-client-params.s3.PutObject", lambda params, **_: order.append(params["Key"])
    )

    assert bucket.write_transcript(FILE, ONE)

    assert order == [
        f"transcripts/uploads/talk.mp3{each}" for each in (".srt", ".vtt", ".txt", ".json")
    ]
    assert "one thing" in body(s3, "transcripts/uploads/talk.mp3.vtt")
    head = s3.head_object(Bucket=BUCKET, Key="transcripts/uploads/talk.mp3.srt")
    assert head["ContentType"] == "application/x-subrip; charset=utf-8"


def test_a_chunk_has_a_transcript_only(bucket: DocumentStore, s3: S3Client) -> None:
    assert bucket.write_transcript(CHUNK, ONE)

    assert [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [
        "users/ann/transcripts/monday-chunk-1.json"
    ]


def test_writing_a_transcript_again_writes_nothing(bucket: DocumentStore, s3: S3Client) -> None:
    bucket.write_transcript(FILE, ONE)
    calls = Calls(s3)

    assert not bucket.write_transcript(FILE, ONE)
    assert not bucket.write_transcript(FILE, OTHER)

    assert calls.of("PutObject") == 0


def test_who_comes_second_sets_right_the_captions_that_they_spoilt(
    bucket: DocumentStore, s3: S3Client
) -> None:
    came: list[str] = []

    def somebody_else(params: dict[str, Any], **_: Any) -> None:
        if params["Key"].endswith(".srt") and not came:
            came.append("in between")
            assert recordings(s3).write_transcript(FILE, ONE)

    s3.meta.events.register("provide-client-params.s3.PutObject", somebody_else)

    assert not bucket.write_transcript(FILE, OTHER)

    assert "one thing" in body(s3, KEY)
    for suffix in (".srt", ".vtt", ".txt"):
        assert "one thing" in body(s3, f"transcripts/uploads/talk.mp3{suffix}")


def test_captions_that_somebody_deleted_are_made_again(bucket: DocumentStore, s3: S3Client) -> None:
    bucket.write_transcript(FILE, ONE)
    s3.delete_object(Bucket=BUCKET, Key="transcripts/uploads/talk.mp3.vtt")
    calls = Calls(s3)

    bucket.repair_captions(FILE)

    assert calls.puts("transcripts/uploads/talk.mp3.vtt") == calls.of("PutObject") == 1


def test_a_failure_is_stored_once(bucket: DocumentStore, s3: S3Client) -> None:
    assert bucket.write_failure(FILE, failure())
    assert not bucket.write_failure(FILE, failure(message="something else"))
    assert "It is no audio." in body(s3, "transcripts/uploads/talk.mp3.failed")


def test_a_failure_of_other_audio_replaces_the_one_before(
    bucket: DocumentStore, s3: S3Client
) -> None:
    bucket.write_failure(FILE, failure(etag="a"))

    assert bucket.write_failure(FILE, failure(etag="b", message="It is empty."))
    assert "It is empty." in body(s3, "transcripts/uploads/talk.mp3.failed")


def test_what_has_a_transcript_has_not_failed(bucket: DocumentStore) -> None:
    bucket.write_transcript(FILE, ONE)

    assert not bucket.write_failure(FILE, failure())
    assert not bucket.objects.exists("transcripts/uploads/talk.mp3.failed")


def test_documents_leave_out_what_is_not_known() -> None:
    assert json.loads(encode(SessionEnd(ended_at=NOW))) == {
        "version": 1,
        "kind": "session_end",
        "endedAt": "2026-11-20T17:29:03.250Z",
    }
