from __future__ import annotations

import importlib
import json
import logging
import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from lambdas.events import RefusedEvent
from lambdas.session_combiner import combine as combining
from lambdas.session_combiner.combine import (
    Combiner,
    CombineResult,
    Effect,
    OutOfTime,
    SessionTooLarge,
    SessionUnsettled,
)
from lambdas.session_combiner.events import Subject, parse_event
from tests.support.recordings_bucket import (
    BUCKET,
    REGION,
    S3InMemory,
    bucket_in_memory,
    recordings,
)
from tests.support.transcripts import NOW, segment, transcript
from transcripts.documents import (
    Failure,
    FailureCode,
    SessionEnd,
    SessionMetadata,
    SessionTranscript,
)
from transcripts.recordings.keys import CAPTIONS, FAILURE, Session, beside, recording
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore, parse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.unit

HANDLER = "lambdas.session_combiner.handler"
SESSION = Session(user_id="ann", session_id="monday")
KEY = SESSION.transcript_key
UNDELIVERED = f"https://sqs.{REGION}.amazonaws.com/123456789012/undelivered"
CONTEXT = SimpleNamespace(
    function_name="session_combiner",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-central-1:000000000000:function:combiner:live",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 60_000,
)


def created(
    key: str = "users/ann/transcripts/monday-chunk-007.json", bucket: str = BUCKET
) -> dict[str, Any]:
    return {
        "id": "an-event",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "size": 5}},
    }


def ended(bucket: str = BUCKET, **detail: object) -> dict[str, Any]:
    return {
        "id": "an-event",
        "detail-type": "Session Ended",
        "source": "cloudscribe",
        "time": "2026-11-20T17:29:03Z",
        "detail": {"bucket": bucket, "userId": "ann", "sessionId": "monday"} | detail,
    }


# --- what an event means ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["json", "failed"])
def test_a_chunk_is_read_from_the_key(suffix: str) -> None:
    found = parse_event(created(f"users/ann/transcripts/monday-chunk-007.{suffix}"), BUCKET)

    assert found is not None
    assert (found.session, found.subject, found.chunk) == (SESSION, Subject.CHUNK, "chunk-007")


def test_metadata_belong_to_their_session() -> None:
    found = parse_event(created(SESSION.metadata_key), BUCKET)

    assert found is not None
    assert (found.session, found.subject) == (SESSION, Subject.METADATA)


def test_an_application_announces_the_end_of_a_session() -> None:
    found = parse_event(ended(chunkCount=12), BUCKET)

    assert found is not None
    assert (found.session, found.subject) == (SESSION, Subject.END)
    assert found.end is not None
    assert found.end.chunk_count == 12
    assert found.end.ended_at.isoformat() == "2026-11-20T17:29:03+00:00"


@pytest.mark.parametrize(
    "key",
    [
        *(
            f"users/ann/transcripts/a-chunk-of-talk{suffix}"
            for suffix in (".json", ".ended", *CAPTIONS)
        ),
        "users/ann/transcripts/monday-chunk-7.txt",
        "users/ann/transcripts/more/monday-chunk-7.json",
        "uploads/holiday/metadata.json",
        "elsewhere/metadata.json",
        "users/ann/transcripts/metadata.json",
        "users/ann/audio/sessions/metadata.json",
        "users/ann/audio/sessions/monday-chunk-1/metadata.json",
        "/metadata.json",
    ],
)
def test_what_the_rule_matches_besides_sessions_is_left_alone(key: str) -> None:
    assert parse_event(created(key), BUCKET) is None


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"detail": {"bucket": BUCKET}},
        created(bucket="somebody-elses"),
        created() | {"detail": {"bucket": {"name": BUCKET}, "object": {"key": None}}},
        ended(bucket="somebody-elses"),
        ended(chunkCount=0),
        ended(chunkCount=1_000_000),
        ended(sessionId="a/b"),
        ended(sessionId=""),
        ended(sessionId="monday-chunk-1"),
        ended(userId=None),
        ended() | {"time": "yesterday"},
    ],
)
def test_other_events_are_refused(event: dict[str, Any]) -> None:
    with pytest.raises(RefusedEvent) as caught:
        parse_event(event, BUCKET)

    assert caught.value.__suppress_context__ or caught.value.__cause__ is None


# --- combining ------------------------------------------------------------------------------------


class Bucket:
    """A bucket in memory, and the combiner that looks at it."""

    def __init__(self) -> None:
        self.s3 = S3InMemory()
        self.recordings = DocumentStore(Objects(BUCKET, cast("S3Client", self.s3)))
        self.pauses: list[float] = []
        self.combiner = Combiner(
            self.recordings,
            now=lambda: NOW,
            log=logging.getLogger("test_session_combiner"),
            sleep=self.pauses.append,
        )

    def look(self, left: float = 60.0) -> CombineResult:
        return self.combiner.combine(SESSION, lambda: left)

    def announce(self, count: int) -> None:
        metadata = SessionMetadata(chunk_count=count).model_dump_json(by_alias=True)
        self.s3.put_object(Key=SESSION.metadata_key, Body=metadata.encode())

    def upload(self, name: str) -> None:
        self.s3.put_object(Key=f"{SESSION.chunks_prefix}{name}.webm", Body=b"audio")

    def transcribe(self, name: str, text: str = "hello", duration: float = 5.0) -> None:
        audio = recording(f"{SESSION.chunks_prefix}{name}.webm")
        self.recordings.write_transcript(audio, transcript(segment(text), duration=duration))

    def fail(self, name: str) -> None:
        key = f"{SESSION.chunks_prefix}{name}.webm"
        self.recordings.write_failure(
            recording(key),
            Failure(key=key, code=FailureCode.EMPTY, message="It is empty.", created_at=NOW),
        )

    @property
    def session(self) -> SessionTranscript:
        return parse(self.s3.objects[KEY][0], SessionTranscript)

    def captions(self, suffix: str = ".txt") -> str:
        return self.s3.objects[beside(KEY, suffix)][0].decode()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def test_the_last_chunk_writes_transcript_and_captions(bucket: Bucket) -> None:
    bucket.announce(2)
    bucket.transcribe("002", "there", 3)

    assert bucket.look() == CombineResult(effect=Effect.WAITING, outstanding=1)
    bucket.transcribe("001", "hello", 4.5)
    assert bucket.look() == CombineResult(effect=Effect.WRITTEN, chunks=2)

    assert [(each.text, each.start_time) for each in bucket.session.segments] == [
        ("hello", 0),
        ("there", 4.5),
    ]
    assert bucket.captions() == "hello\nthere\n"
    assert "00:00:04,500 --> " in bucket.captions(".srt")
    assert bucket.captions(".vtt").startswith("WEBVTT\n")


def test_metadata_may_come_last(bucket: Bucket) -> None:
    bucket.transcribe("1")
    assert bucket.look().outstanding is None

    bucket.announce(1)
    assert bucket.look().effect is Effect.WRITTEN


def test_an_end_writes_what_there_is_and_a_late_chunk_updates_it(bucket: Bucket) -> None:
    bucket.announce(2)
    bucket.upload("1")
    bucket.transcribe("1", "hello")
    bucket.combiner.end(SESSION, SessionEnd(ended_at=NOW))
    assert bucket.look() == CombineResult(effect=Effect.WRITTEN, chunks=1, gaps=1)
    assert bucket.captions() == "hello\n[chunk 2: missing]\n"

    bucket.upload("2")
    assert bucket.look().effect is Effect.WAITING
    bucket.transcribe("2", "late")
    assert bucket.look() == CombineResult(effect=Effect.UPDATED, chunks=2)

    assert bucket.session.complete
    assert bucket.captions() == "hello\nlate\n"


def test_events_that_change_nothing_write_nothing_and_read_no_transcript(bucket: Bucket) -> None:
    bucket.announce(3)
    for name in "123":
        bucket.transcribe(name)
    bucket.look()
    before = bucket.s3.puts.copy()
    bucket.s3.requests.clear()

    assert bucket.look().effect is Effect.UNCHANGED

    assert bucket.s3.puts == before
    assert bucket.s3.requests["get"] == 2  # metadata, and the end


def test_captions_that_are_gone_are_written_again_and_the_transcript_is_not(bucket: Bucket) -> None:
    bucket.announce(1)
    bucket.transcribe("1")
    bucket.look()
    del bucket.s3.objects[beside(KEY, ".srt")]

    assert bucket.look().effect is Effect.UNCHANGED
    assert bucket.s3.puts[KEY] == 1
    assert bucket.s3.puts[beside(KEY, ".srt")] == 2
    assert bucket.s3.puts[beside(KEY, ".vtt")] == 1


def test_a_chunk_that_failed_or_is_unreadable_costs_the_session_only_itself(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.announce(3)
    bucket.transcribe("1", "hello")
    bucket.fail("2")
    bucket.s3.put_object(Key=f"{SESSION.outcomes_prefix}3.json", Body=b"secret")

    assert bucket.look().effect is Effect.WRITTEN

    assert [(gap.chunk, gap.reason) for gap in bucket.session.gaps] == [
        (2, "failed"),
        (3, "unreadable"),
    ]
    assert "unreadable transcript of chunk-3" in caplog.text
    assert "secret" not in caplog.text


def test_of_two_chunks_with_one_number_one_counts_and_the_other_is_named(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.announce(1)
    bucket.transcribe("1", "short")
    bucket.look()
    bucket.transcribe("001", "long")
    bucket.look()

    assert [each.text for each in bucket.session.segments] == ["long"]
    assert "'chunk-1'" in caplog.text


def test_metadata_that_are_none_do_not_fail_the_events_of_chunks(bucket: Bucket) -> None:
    bucket.s3.put_object(Key=SESSION.metadata_key, Body=b'{"chunkCount": "many"}')
    bucket.transcribe("1")

    assert bucket.look().effect is Effect.WAITING


def test_hundreds_of_chunks_in_any_order_with_repeated_events_are_combined_once(
    bucket: Bucket,
) -> None:
    order = random.Random(5)  # noqa: S311 - no secret
    durations = {n: round(order.uniform(0.5, 5), 3) for n in range(1, 301)}
    events: list[Callable[[], None]] = [
        lambda n=n: bucket.transcribe(f"{n:03}", f"chunk {n}", durations[n])  # type: ignore[misc]
        for n in durations
    ]
    events += order.sample(events, 60)
    order.shuffle(events)
    bucket.announce(300)

    outcomes = []
    for happen in events:
        happen()  # the second time it changes nothing
        outcomes.append(bucket.look().effect)

    assert outcomes.count(Effect.WRITTEN) == 1
    assert Effect.UPDATED not in outcomes
    assert bucket.s3.puts[KEY] == bucket.s3.puts[beside(KEY, ".srt")] == 1
    begin = 0.0
    for n, part in zip(durations, bucket.session.segments, strict=True):
        assert (part.text, part.chunk) == (f"chunk {n}", n)
        assert part.start_time == pytest.approx(begin, abs=0.001)
        begin += durations[n]
    # Every transcript was read once. Besides, an event needs a few requests.
    assert bucket.s3.requests["get"] == 300 + 2 * (len(events) + 1)
    complete = sum(outcome is not Effect.WAITING for outcome in outcomes)
    # To write, and to look once more afterwards; each of these also looks for a chunk 0.
    assert bucket.s3.requests["list"] == len(events) + 1 + complete + 1


def test_many_invocations_at_once_write_a_session_once(bucket: Bucket) -> None:
    bucket.announce(40)
    for n in range(40):
        bucket.transcribe(f"{n}", f"chunk {n}")
    together = threading.Barrier(8)

    def invoke() -> Effect:
        together.wait()
        return bucket.look().effect

    with ThreadPoolExecutor(8) as pool:
        outcomes = [each.result() for each in [pool.submit(invoke) for _ in range(8)]]

    assert outcomes.count(Effect.WRITTEN) == 1
    assert Effect.UPDATED not in outcomes
    assert bucket.s3.puts[KEY] == 1
    assert len(bucket.session.chunks) == 40


def test_who_knows_less_neither_wins_nor_leaves_old_captions(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One invocation is overtaken, after it has read, by another one that knows a chunk more."""
    bucket.announce(1)
    bucket.transcribe("1", "one")
    original = DocumentStore.write_captions
    overtaken: list[CombineResult] = []

    def slowly(self: DocumentStore, key: str, written: Any, fingerprint: str) -> bool:
        if not overtaken:
            bucket.transcribe("2", "two")
            overtaken.append(CombineResult(effect=Effect.WAITING))
            overtaken.append(bucket.look())
        return original(self, key, written, fingerprint)

    monkeypatch.setattr(DocumentStore, "write_captions", slowly)

    assert bucket.look().effect is Effect.UNCHANGED

    assert overtaken[1].effect is Effect.WRITTEN
    assert [each.text for each in bucket.session.segments] == ["one", "two"]
    assert bucket.captions() == "one\ntwo\n"
    assert bucket.s3.puts[KEY] == 1


def test_a_chunk_that_comes_while_the_session_is_written_is_in_it_in_the_end(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.announce(1)
    bucket.transcribe("1", "one")
    original = DocumentStore.put_once

    def and_then_another(self: DocumentStore, key: str, *written: Any, **more: Any) -> bool:
        won = original(self, key, *written, **more)
        if key == KEY:
            bucket.transcribe("2", "two")
        return won

    monkeypatch.setattr(DocumentStore, "put_once", and_then_another)

    assert bucket.look().effect is Effect.UPDATED
    assert bucket.captions() == "one\ntwo\n"


def test_a_session_that_never_settles_is_left_to_another_invocation(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.announce(1)
    bucket.transcribe("1")
    monkeypatch.setattr(DocumentStore, "put_once", lambda *_, **__: False)

    with pytest.raises(SessionUnsettled):
        bucket.look()
    assert len(bucket.pauses) == combining.ATTEMPTS - 1  # it gives up at once after the last
    assert sum(bucket.pauses) < 2 * 60


def test_without_time_left_nothing_is_begun(bucket: Bucket) -> None:
    bucket.announce(1)
    bucket.transcribe("1")

    with pytest.raises(OutOfTime):
        bucket.look(left=3)

    assert KEY not in bucket.s3.objects


def test_a_chunk_that_cannot_be_read_for_now_fails_the_invocation(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.announce(2)
    bucket.transcribe("1")
    bucket.transcribe("2")
    original = S3InMemory.get_object

    def broken(self: S3InMemory, *, Key: str, **rest: object) -> dict[str, Any]:  # noqa: N803 - S3's
        if Key.endswith("chunk-2.json"):
            raise ClientError({"Error": {"Code": "SlowDown"}}, "GetObject")
        return original(self, Key=Key, **rest)

    monkeypatch.setattr(S3InMemory, "get_object", broken)

    with pytest.raises(ClientError, match="SlowDown"):
        bucket.look()
    assert KEY not in bucket.s3.objects


def test_large_sessions_do_without_words_and_larger_ones_are_refused(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.announce(1)
    bucket.transcribe("1", "hello")
    monkeypatch.setattr(combining, "WORDS_UP_TO", 10)
    bucket.look()
    assert bucket.session.without_words
    assert bucket.captions() == "hello\n"

    bucket.transcribe("2")
    monkeypatch.setattr(combining, "COMBINED_UP_TO", 10)
    with pytest.raises(SessionTooLarge):
        bucket.look()


# --- the handler ----------------------------------------------------------------------------------


@pytest.fixture
def s3() -> Iterator[S3Client]:
    with bucket_in_memory() as client:
        yield client


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch, s3: S3Client) -> ModuleType:
    """The module after a cold start, its bucket in moto."""
    assert s3.list_buckets()["Buckets"]
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("RECORDINGS_BUCKET", BUCKET)
    monkeypatch.setenv("UNDELIVERED_QUEUE_URL", UNDELIVERED)
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")  # must not help
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delitem(sys.modules, HANDLER, raising=False)
    module = importlib.import_module(HANDLER)
    module.sqs.create_queue(QueueName="undelivered")
    return module


def undelivered(handler: ModuleType) -> list[dict[str, Any]]:
    """Take what lies among the undelivered events."""
    answer = handler.sqs.receive_message(QueueUrl=UNDELIVERED, MaxNumberOfMessages=10)
    return [json.loads(each["Body"]) for each in answer.get("Messages", [])]


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = capsys.readouterr().out.splitlines()
    return next(json.loads(line) for line in lines if "_aws" in line)


def test_the_handler_combines_a_session(
    handler: ModuleType, s3: S3Client, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = recordings(s3)
    bucket.write_transcript(
        recording(f"{SESSION.chunks_prefix}007.webm"), transcript(segment("the secret"))
    )
    s3.put_object(Bucket=BUCKET, Key=SESSION.metadata_key, Body=b'{"chunkCount": 1}')

    handler.handler(created(f"{SESSION.outcomes_prefix}007.json"), CONTEXT)
    printed = capsys.readouterr().out
    assert '"SessionsWaiting":[1.0]' in printed.replace(" ", "")

    s3.put_object(Bucket=BUCKET, Key=f"{SESSION.chunks_prefix}007.webm", Body=b"audio")
    handler.handler(ended(chunkCount=1), CONTEXT)
    printed += capsys.readouterr().out

    assert '"SessionsWritten":[1.0]' in printed.replace(" ", "")
    found = bucket.get(KEY, SessionTranscript)
    assert found is not None
    assert [gap.chunk for gap in found.document.gaps] == [1]
    assert [chunk.chunk for chunk in found.document.chunks] == [7]
    assert "secret" not in printed


def test_a_session_that_is_too_large_is_kept_and_no_error_of_the_function(
    handler: ModuleType, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = recording(f"{SESSION.chunks_prefix}007.webm")
    recordings(s3).write_transcript(audio, transcript(segment("hello")))
    monkeypatch.setattr(combining, "COMBINED_UP_TO", 10)
    found = ended(chunkCount=1)
    s3.put_object(Bucket=BUCKET, Key=f"{SESSION.chunks_prefix}007.webm", Body=b"audio")

    handler.handler(found, CONTEXT)

    (kept,) = undelivered(handler)
    assert kept["requestPayload"] == found
    assert kept["responsePayload"]["errorType"] == "SessionTooLarge"


def test_metadata_that_are_none_are_kept_and_no_error_of_the_function(
    handler: ModuleType, s3: S3Client, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.put_object(Bucket=BUCKET, Key=SESSION.metadata_key, Body=b"secret")
    found = created(SESSION.metadata_key)

    handler.handler(found, CONTEXT)

    (kept,) = undelivered(handler)
    assert kept["requestPayload"] == found
    assert kept["responsePayload"]["errorType"] == "UnreadableDocument"
    assert metrics(capsys)["EventsRefused"] == [1.0]


def test_an_event_that_is_refused_is_kept_and_no_error_of_the_function(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.handler(created(bucket="somebody-elses"), CONTEXT)

    (kept,) = undelivered(handler)
    assert kept["requestContext"]["functionArn"] == CONTEXT.invoked_function_arn
    assert kept["requestContext"]["condition"] == "Refused"
    assert metrics(capsys)["EventsRefused"] == [1.0]


def test_a_refused_event_that_cannot_be_kept_fails_the_invocation(handler: ModuleType) -> None:
    handler.sqs.delete_queue(QueueUrl=UNDELIVERED)

    with pytest.raises(ClientError):
        handler.handler(created(bucket="somebody-elses"), CONTEXT)


def test_a_bucket_that_refuses_fails_the_invocation_so_that_it_is_repeated(
    handler: ModuleType, s3: S3Client
) -> None:
    s3.delete_bucket(Bucket=BUCKET)

    with pytest.raises(ClientError):
        handler.handler(created(), CONTEXT)


def test_an_object_that_is_no_part_of_a_session_costs_no_request(
    handler: ModuleType, s3: S3Client
) -> None:
    s3.delete_bucket(Bucket=BUCKET)  # a request would fail

    handler.handler(created("uploads/holiday/metadata.json"), CONTEXT)


def test_failures_of_chunks_lie_where_events_announce_them() -> None:
    audio = recording(f"{SESSION.chunks_prefix}7.webm")

    found = parse_event(created(beside(audio.transcript_key, FAILURE)), BUCKET)

    assert found is not None
    assert found.session == SESSION
