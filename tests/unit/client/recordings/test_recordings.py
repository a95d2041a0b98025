"""`upload`, `status` and `fetch` against a bucket in memory."""

from __future__ import annotations

import io
import json
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
)
from typer.testing import CliRunner, Result

from access.messages import OpenAccess
from client.cli.app import app
from client.errors import AlreadyThere, ExitCode, NoStorage
from client.recordings import uploading
from client.recordings.bucket import Bucket, explanation, open_bucket
from client.recordings.targets import Target, last, poll_status
from client.recordings.uploading import (
    FileDone,
    Item,
    UploadVerdict,
    find,
    readable,
    same_bytes,
    transfers,
    verdict,
)
from lambdas.session_combiner.combine import Combiner
from tests.support.recordings import wav
from tests.support.recordings_bucket import BUCKET, bucket_in_memory
from tests.support.transcripts import NOW, segment, transcript
from transcripts.documents import Failure, FailureCode, SessionMetadata
from transcripts.recordings.keys import Session, beside, recording
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.unit

SESSION = Session(user_id="ann", session_id="monday")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    monkeypatch.setenv("RECORDINGS_BUCKET", BUCKET)
    with bucket_in_memory() as client:
        yield client


@pytest.fixture
def files(s3: S3Client) -> DocumentStore:
    return DocumentStore(Objects(BUCKET, s3))


@pytest.fixture
def home(s3: S3Client) -> Bucket:
    del s3
    return open_bucket(BUCKET)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def kinds(result: Result) -> list[str]:
    return [each["type"] for each in events(result) if each["type"] != "progress"]


def audio(path: Path, seconds: float = 0.1, *, sound: int = 0) -> Path:
    return wav(path, bytes([sound, 0]) * round(8_000 * seconds), sample_rate=8_000)


def folder(path: Path, *names: str) -> Path:
    path.mkdir(exist_ok=True)
    for place, name in enumerate(names):
        audio(path / name, sound=place)
    return path


def content(s3: S3Client, key: str) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def keys(s3: S3Client) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def failure(key: str, **changes: object) -> Failure:
    fields = {"key": key, "code": FailureCode.NOT_AUDIO, "message": "Convert it.", "createdAt": NOW}
    return Failure.model_validate(fields | changes)


# --- files --------------------------------------------------------------------------------------


def test_an_upload_prints_its_key_and_is_not_sent_twice(s3: S3Client, tmp_path: Path) -> None:
    path = audio(tmp_path / "talk.wav")

    first = run("upload", path)
    again = run("upload", path, "--json")

    assert (first.exit_code, first.stdout) == (ExitCode.OK, "uploads/talk.wav\n")
    assert content(s3, "uploads/talk.wav") == path.read_bytes()
    assert (again.exit_code, kinds(again)) == (ExitCode.OK, ["skipped"])


def test_a_large_file_goes_in_parts_and_is_known_again(home: Bucket, tmp_path: Path) -> None:
    path = audio(tmp_path / "long.wav", 1_100)  # 17.6 MB: three parts

    result = run("upload", path, "--json")

    assert kinds(result) == ["uploaded"]
    assert events(result)[-2]["sent"] == path.stat().st_size
    there = find(home, "uploads/long.wav")
    assert there is not None
    assert there.etag.endswith('-3"')
    assert same_bytes(readable(path, there.key), there)
    with path.open("r+b") as file:
        file.seek(-1, io.SEEK_END)
        file.write(b"x")
    assert not same_bytes(readable(path, there.key), there)


def test_upload_names_the_destination_of_files(s3: S3Client, tmp_path: Path) -> None:
    one, two = audio(tmp_path / "1.wav"), audio(tmp_path / "2.wav")

    run("upload", one, "--name", "ann/talk.wav")
    run("upload", one, two, "--name", "bob/")

    assert keys(s3) == ["uploads/ann/talk.wav", "uploads/bob/1.wav", "uploads/bob/2.wav"]
    assert run("upload", one, two, "--name", "both.wav").exit_code == ExitCode.USAGE
    assert run("upload", one, one).exit_code == ExitCode.USAGE


def test_a_bad_file_is_named_and_does_not_keep_the_others(s3: S3Client, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "notes.txt").write_text("no audio")
    good = audio(tmp_path / "good.wav")

    result = run(
        *("upload", tmp_path / "empty.wav", tmp_path / "notes.txt"),
        *(tmp_path / "absent.wav", good, "--json"),
    )

    assert result.exit_code == ExitCode.UNREADABLE
    refused = [(each["code"], each["file"][-8:]) for each in events(result) if "code" in each]
    assert refused == [
        ("unreadable", "mpty.wav"),
        ("not_audio", "otes.txt"),
        ("unreadable", "sent.wav"),
    ]
    assert keys(s3) == ["uploads/good.wav"]
    assert run("upload", tmp_path / "notes.txt", "--force").exit_code == ExitCode.OK


def test_what_a_decoder_cannot_cope_with_is_uploaded_when_insisted(
    s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid continuation byte")

    monkeypatch.setattr("client.audio_files.probe", fail)
    path = audio(tmp_path / "tag.wav")

    assert run("upload", path).exit_code == ExitCode.UNREADABLE
    assert keys(s3) == []
    assert run("upload", path, "--force").exit_code == ExitCode.OK
    assert keys(s3) == ["uploads/tag.wav"]


def test_a_recording_with_a_transcript_is_not_replaced_unless_insisted(
    s3: S3Client, files: DocumentStore, tmp_path: Path
) -> None:
    path = audio(tmp_path / "talk.wav")
    run("upload", path)
    files.write_transcript(recording("uploads/talk.wav"), transcript(segment("as it was")))
    before = path.read_bytes()
    audio(path, sound=7)

    refused = run("upload", path)
    assert refused.exit_code == ExitCode.REFUSED
    assert "has its transcript" in refused.stderr
    assert content(s3, "uploads/talk.wav") == before

    forced = run("upload", path, "--force")
    assert forced.exit_code == ExitCode.OK
    assert "keeps the transcript of what was there before" in forced.stderr
    assert content(s3, "uploads/talk.wav") == path.read_bytes()


def test_a_recording_that_failed_is_replaced(
    s3: S3Client, files: DocumentStore, tmp_path: Path
) -> None:
    path = audio(tmp_path / "talk.wav")
    run("upload", path)
    etag = s3.head_object(Bucket=BUCKET, Key="uploads/talk.wav")["ETag"]
    files.write_failure(recording("uploads/talk.wav"), failure("uploads/talk.wav", etag=etag))
    assert run("status", "talk.wav").exit_code == ExitCode.NO_TRANSCRIPT

    audio(path, sound=7)
    assert run("upload", path).exit_code == ExitCode.OK

    # The failure was of the bytes before.
    assert run("status", "talk.wav").exit_code == ExitCode.NOT_YET


def test_what_failed_is_tried_again_when_somebody_insists(
    s3: S3Client, files: DocumentStore, tmp_path: Path
) -> None:
    path = audio(tmp_path / "talk.wav")
    run("upload", path)
    etag = s3.head_object(Bucket=BUCKET, Key="uploads/talk.wav")["ETag"]
    files.write_failure(recording("uploads/talk.wav"), failure("uploads/talk.wav", etag=etag))

    assert "skipped" in run("upload", path, "--json").stdout
    assert run("status", "talk.wav").exit_code == ExitCode.NO_TRANSCRIPT
    assert "uploaded" in run("upload", path, "--force", "--json").stdout
    assert run("status", "talk.wav").exit_code == ExitCode.NOT_YET


def test_a_failed_recording_is_named_in_lines(
    s3: S3Client, files: DocumentStore, tmp_path: Path
) -> None:
    path = audio(tmp_path / "talk.wav")
    run("upload", path)
    etag = s3.head_object(Bucket=BUCKET, Key="uploads/talk.wav")["ETag"]
    files.write_failure(recording("uploads/talk.wav"), failure("uploads/talk.wav", etag=etag))

    printed = run("upload", path, "--format", "srt")

    assert printed.exit_code == ExitCode.NO_TRANSCRIPT
    assert printed.stderr.splitlines()[-2:] == [
        "uploads/talk.wav: failed, not_audio: Convert it.",
        "Another recording may be uploaded in its place.",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", UploadVerdict.UPLOAD),
        ("there same transcribed force", UploadVerdict.SKIP),
        ("there same failed", UploadVerdict.SKIP),
        ("there same failed force", UploadVerdict.UPLOAD),
        ("there same force", UploadVerdict.UPLOAD),  # what was uploaded by force broke off
        ("there", UploadVerdict.WAITS),
        ("there failed", UploadVerdict.UPLOAD),
        ("there transcribed failed", UploadVerdict.TRANSCRIBED),
        ("transcribed", UploadVerdict.TRANSCRIBED),
        ("there transcribed force", UploadVerdict.UPLOAD),
    ],
)
def test_what_is_there_decides(given: str, expected: UploadVerdict) -> None:
    facts = {name: name in given.split() for name in ("there", "same", "transcribed", "failed")}
    assert verdict(**facts, force="force" in given) is expected


def test_who_comes_second_in_the_same_moment_replaces_nothing(
    s3: S3Client, home: Bucket, tmp_path: Path
) -> None:
    source = readable(audio(tmp_path / "talk.wav"), "uploads/talk.wav")
    s3.put_object(Bucket=BUCKET, Key=source.key, Body=b"of somebody else")

    [second] = [each for each in transfers(home, [Item(source)]) if isinstance(each, FileDone)]
    assert isinstance(second.error, AlreadyThere)
    assert content(s3, source.key) == b"of somebody else"

    # A second attempt, when only the answer to the first got lost, finds its own.
    s3.put_object(Bucket=BUCKET, Key=source.key, Body=source.path.read_bytes())
    [same] = [each for each in transfers(home, [Item(source)]) if isinstance(each, FileDone)]
    assert same.error is None


def test_who_stops_leaves_nothing_half_done(
    s3: S3Client, home: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "CONCURRENCY", 1)
    source = readable(audio(tmp_path / "long.wav", 1_100), "uploads/long.wav")

    with closing(transfers(home, [Item(source)])) as moving:
        next(moving)

    assert keys(s3) == []
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_a_refusal_in_the_middle_ends_the_upload_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Bucket
) -> None:
    def deny(**_: object) -> None:
        raise refusal("AccessDenied", 403, "PutObject")

    home.client.meta.events.register("before-call.s3.PutObject", deny)
    monkeypatch.setattr("client.cli.upload.open_bucket", lambda _: home)

    result = run("upload", audio(tmp_path / "talk.wav"))

    assert result.exit_code == ExitCode.REFUSED
    assert "AccessDenied, PutObject" in result.stderr
    assert "s3:PutObject" in result.stderr


def test_ctrl_c_is_handled_and_then_as_before(tmp_path: Path, home: Bucket) -> None:
    del home
    before = signal.getsignal(signal.SIGINT)
    run("upload", audio(tmp_path / "talk.wav"))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_file_that_takes_long_to_look_at_is_left_to_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, goes_on = readable(audio(tmp_path / "strange.wav"), "uploads/a.wav"), threading.Event()
    monkeypatch.setattr(uploading, "read_header", lambda _: goes_on.wait())

    assert uploading.not_audio(source, patience=0.01) is None
    goes_on.set()


# --- sessions -----------------------------------------------------------------------------------


def test_a_folder_becomes_a_session(s3: S3Client, files: DocumentStore, tmp_path: Path) -> None:
    source = folder(tmp_path / "monday", "part 10.wav", "part 9.wav")
    (source / ".hidden").touch()
    (source / "notes").mkdir()

    result = run("upload", source, "--user", "ann", "--session", "monday")

    assert (result.exit_code, result.stdout) == (ExitCode.OK, "ann/monday\n")
    assert keys(s3) == [f"{SESSION.chunks_prefix}{each}.wav" for each in ("001", "002")] + [
        SESSION.metadata_key
    ]
    assert content(s3, f"{SESSION.chunks_prefix}001.wav") == (source / "part 9.wav").read_bytes()
    found = files.get(SESSION.metadata_key, SessionMetadata)
    assert found is not None
    assert found.document == SessionMetadata(chunk_count=2, first_chunk=1)


def test_a_session_goes_on_where_it_broke_off(s3: S3Client, tmp_path: Path) -> None:
    source = folder(tmp_path / "s", "chunk-1.wav", "chunk-2.wav", "chunk-3.wav")
    run("upload", source, "--session", "ann/monday")
    s3.delete_object(Bucket=BUCKET, Key=f"{SESSION.chunks_prefix}2.wav")

    result = run("upload", source, "--session", "ann/monday", "--json")

    assert kinds(result) == ["session", "skipped", "skipped", "uploaded"]
    assert events(result)[-1]["key"] == f"{SESSION.chunks_prefix}2.wav"


def test_more_chunks_come_later_and_fewer_announce_nothing_less(
    files: DocumentStore, tmp_path: Path
) -> None:
    announced = SessionMetadata(chunk_count=5, first_chunk=1)
    files.put_once(SESSION.metadata_key, announced)

    fewer = run("upload", folder(tmp_path / "a", "chunk-1.wav"), "--session", "ann/monday")
    assert "chunk 2 to 5" in fewer.stderr
    found = files.get(SESSION.metadata_key, SessionMetadata)
    assert found is not None
    assert found.document == announced

    run("upload", folder(tmp_path / "b", "chunk-7.wav"), "--session", "ann/monday")
    found = files.get(SESSION.metadata_key, SessionMetadata)
    assert found is not None
    assert found.document.chunk_count == 7


@pytest.mark.parametrize("there", ["chunk-002.wav", "chunk-2.webm"])
def test_another_recording_does_not_get_into_a_session(
    s3: S3Client, tmp_path: Path, there: str
) -> None:
    key = SESSION.chunks_prefix.removesuffix("chunk-") + there
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"of another recording")

    result = run(
        "upload", folder(tmp_path / "s", "a.wav", "b.wav", "c.wav"), "--session", "ann/monday"
    )

    assert result.exit_code == ExitCode.REFUSED
    assert keys(s3) == [key]


def test_a_chunk_that_is_no_audio_stops_the_session_before_it_begins(
    s3: S3Client, tmp_path: Path
) -> None:
    source = folder(tmp_path / "s", "a.wav")
    (source / "manifest.json").write_text("{}")

    result = run("upload", source, "--session", "ann/monday")

    assert result.exit_code == ExitCode.UNREADABLE
    assert keys(s3) == []
    assert "manifest.json" in result.stderr
    assert "move this one out of it. If it is audio" in result.stderr


@pytest.mark.parametrize(
    "options", [(), ("--user", "ann"), ("--session", "monday"), ("--session", "ann/a-chunk-1")]
)
def test_a_folder_needs_a_session_that_can_be(
    s3: S3Client, tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = run("upload", folder(tmp_path / "s", "a.wav"), *options)
    assert result.exit_code == ExitCode.USAGE
    assert keys(s3) == []


# --- status and fetch ---------------------------------------------------------------------------


def test_status_prints_the_state_of_a_recording_and_exits_by_it(
    s3: S3Client, files: DocumentStore
) -> None:
    key = "uploads/talk.mp3"
    assert run("status", key).exit_code == ExitCode.NO_SUCH_RECORDING

    etag = s3.put_object(Bucket=BUCKET, Key=key, Body=b"sound")["ETag"]
    waiting = run("status", "talk.mp3", "--json")
    assert waiting.exit_code == ExitCode.NOT_YET
    assert events(waiting) == [{"type": "status", "key": key, "state": "waiting"}]

    files.write_failure(recording(key), failure(key, message="Convert\x08it.", etag=etag))
    failed = run("status", key)
    assert failed.exit_code == ExitCode.NO_TRANSCRIPT
    assert "not_audio: Convert" in failed.stdout
    assert "\x08" not in failed.stdout  # what others wrote gives a terminal no commands

    given = transcript(segment("good morning"), key=key, etag=etag)
    files.write_transcript(recording(key), given)
    done = run("status", key, "--json")
    assert done.exit_code == ExitCode.OK
    assert events(done)[0]["state"] == "transcribed"
    assert "notes" not in events(done)[0]

    s3.put_object(Bucket=BUCKET, Key=key, Body=b"another sound")
    assert "was replaced after that" in run("status", key).stdout


def test_status_points_to_dead_letters_when_a_recording_waits_long(
    s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = f"{SESSION.chunks_prefix}1.webm"
    for key in ("uploads/talk.mp3", chunk):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"sound")
    assert "dead letters" not in run("status", "talk.mp3").stdout
    assert "dead letters" not in run("status", "--session", "ann/monday").stdout

    monkeypatch.setattr("client.recordings.status.WAITS_LONG", timedelta(0))
    for asked in (("talk.mp3",), ("--session", "ann/monday")):
        waiting = run("status", *asked)
        assert waiting.exit_code == ExitCode.NOT_YET
        assert "dead letters" in waiting.stdout
        assert "--force" in events(run("status", *asked, "--json"))[0]["notes"][-1]


def test_status_reports_that_nothing_was_recognised(s3: S3Client, files: DocumentStore) -> None:
    key, chunk = "uploads/silence.wav", recording(f"{SESSION.chunks_prefix}1.webm")
    files.write_transcript(recording(key), transcript(key=key))
    files.put_once(SESSION.metadata_key, SessionMetadata(chunk_count=1, first_chunk=1))
    files.write_transcript(chunk, transcript())
    Combiner(files, now=lambda: datetime.now(UTC), log=logging.getLogger(__name__)).combine(
        SESSION, lambda: 60.0
    )
    del s3

    for asked in ((key,), ("--session", "ann/monday")):
        assert "no speech was found" in run("status", *asked).stdout
        assert "no speech was found" in events(run("status", *asked, "--json"))[0]["notes"][0]
        fetched = run("fetch", *asked)
        assert fetched.stdout == "[no speech was found]\n"
        assert "no speech was found" in fetched.stderr


def test_status_reports_that_a_file_ended_early(files: DocumentStore) -> None:
    key = "uploads/cut.mp4"
    files.write_transcript(recording(key), transcript(segment("hello"), key=key, missing=3.1))

    assert "announces 3.3 s of audio and holds 0.2 s" in run("status", key).stdout
    assert "ends early" in run("fetch", key).stderr


def test_status_lists_the_chunks_until_the_transcript_of_a_session_is_complete(
    s3: S3Client, files: DocumentStore
) -> None:
    assert run("status", "--session", "ann/monday").exit_code == ExitCode.NO_SUCH_RECORDING
    files.put_once(SESSION.metadata_key, SessionMetadata(chunk_count=4, first_chunk=1))
    chunks = [recording(f"{SESSION.chunks_prefix}{n}.webm") for n in range(1, 6)]
    for n in (1, 2, 3):
        s3.put_object(Bucket=BUCKET, Key=f"{SESSION.chunks_prefix}{n}.webm", Body=b"sound")
    files.write_transcript(chunks[0], transcript(segment("one")))
    files.write_failure(chunks[1], failure("a chunk"))

    [half] = events(run("status", "--session", "ann/monday", "--json"))
    assert (half["chunkCount"], half["transcribed"]) == (4, 1)
    assert (half["waiting"], half["notUploaded"]) == ([3], [4])
    assert half["gaps"] == [{"chunk": 2, "reason": "failed, not_audio: Convert it."}]
    assert run("fetch", "--session", "ann/monday").exit_code == ExitCode.NOT_YET

    combiner = Combiner(files, now=lambda: datetime.now(UTC), log=logging.getLogger(__name__))
    for chunk in chunks[2:4]:
        files.write_transcript(chunk, transcript(segment("more")))
    assert run("status", "--session", "ann/monday").exit_code == ExitCode.NOT_YET  # not combined
    combiner.combine(SESSION, lambda: 60.0)

    done = run("status", "--session", "ann/monday")
    assert done.exit_code == ExitCode.OK
    assert "3 of 4 chunks are transcribed" in done.stdout
    fetched = run("fetch", "--session", "ann/monday", "--format", "txt")
    assert fetched.stdout == "one\n[chunk 2: failed]\nmore\nmore\n"
    assert "Not in it: chunk 2" in fetched.stderr

    # A chunk that comes late: what there is can be read, and fetch announces that more will come.
    files.write_transcript(chunks[4], transcript(segment("late")))
    late = run("fetch", "--session", "ann/monday")
    assert late.exit_code == ExitCode.OK
    assert "it will be updated" in late.stderr


def test_fetch_prints_what_is_stored_and_makes_captions_of_a_chunk(
    s3: S3Client, files: DocumentStore, tmp_path: Path
) -> None:
    upload, chunk = "uploads/talk.mp3", f"{SESSION.chunks_prefix}1.webm"
    for key in (upload, chunk):
        files.write_transcript(recording(key), transcript(segment("good morning"), key=key))
    transcript_key = recording(upload).transcript_key

    for suffix in ("json", "srt", "vtt", "txt"):
        printed = run("fetch", upload, "--format", suffix)
        stored = content(s3, beside(transcript_key, f".{suffix}"))
        assert printed.stdout_bytes == stored + (b"\n" if suffix == "json" else b"")
    assert "good morning" in run("fetch", chunk, "--format", "srt").stdout

    output = tmp_path / "talk.srt"
    run("fetch", upload, "--format", "srt", "--output", output)
    assert output.read_bytes() == content(s3, beside(transcript_key, ".srt"))
    nowhere = run("fetch", upload, "--output", tmp_path / "no" / "folder")
    assert nowhere.exit_code == ExitCode.OUTPUT_FAILED


def test_a_name_in_a_document_cannot_command_the_terminal(files: DocumentStore) -> None:
    key = "uploads/\x9b2J\u202e.mp3"
    files.write_transcript(recording(key), transcript(segment("good morning"), key=key))

    printed = run("fetch", key, "--format", "json").stdout

    assert json.loads(printed)["key"] == key
    assert printed.rstrip("\n").isprintable()


def test_a_document_of_a_later_version_is_passed_on_but_not_interpreted(
    s3: S3Client, files: DocumentStore
) -> None:
    key = recording(f"{SESSION.chunks_prefix}1.webm").transcript_key
    s3.put_object(Bucket=BUCKET, Key=key, Body=b'{"version":9}')
    del files
    chunk = f"{SESSION.chunks_prefix}1.webm"

    assert run("status", chunk).exit_code == ExitCode.OK
    assert run("fetch", chunk, "--format", "json").stdout == '{"version":9}\n'
    assert run("fetch", chunk, "--format", "srt").exit_code == ExitCode.NO_TRANSCRIPT


def test_waiting_survives_a_lost_connection_and_ends_with_the_transcript(
    s3: S3Client, files: DocumentStore, home: Bucket
) -> None:
    key = "uploads/talk.mp3"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"sound")
    slept: list[float] = []
    lost: list[NoStorage] = []

    def lose(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://gone")

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        hooks = home.client.meta.events
        if len(slept) == 1:
            hooks.register("before-call.s3", lose)
        if len(slept) == 3:
            hooks.unregister("before-call.s3", lose)
            files.write_transcript(recording(key), transcript(segment("good morning")))

    found = last(poll_status(home, Target(key), on_lost=lost.append, sleep=sleep))

    assert found.state == "transcribed"
    assert slept == [1.0, 1.5, 2.25]
    assert len(lost) == 1


# --- what is in the way -------------------------------------------------------------------------


def refusal(code: str, status: int, operation: str = "ListObjectsV2") -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]  # the rest does not matter
        operation,
    )


@pytest.mark.parametrize(
    ("error", "code", "advice"),
    [
        (NoCredentialsError(), ExitCode.REFUSED, "source .local/aws.env"),
        (ProfileNotFound(profile="mine"), ExitCode.REFUSED, "AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="http://x"), ExitCode.NO_CONNECTION, "ENDPOINT_URL"),
        (refusal("AccessDenied", 403), ExitCode.REFUSED, "s3:ListBucket"),
        (refusal("403", 403, "HeadObject"), ExitCode.REFUSED, "s3:GetObject"),
        (refusal("ExpiredToken", 400), ExitCode.REFUSED, "Log in again"),
        (refusal("RequestTimeTooSkewed", 403), ExitCode.REFUSED, "set its clock"),
        (refusal("InternalError", 500), ExitCode.NO_CONNECTION, "try again later"),
        (refusal("SomethingNew", 400), ExitCode.REFUSED, "SomethingNew"),
    ],
)
def test_errors_of_aws_become_advice(error: Exception, code: ExitCode, advice: str) -> None:
    explained = explanation(error, "bucket")
    assert explained.exit_code == code
    assert advice in str(explained)


def test_no_bucket_and_a_wrong_one_are_named(
    s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del s3
    path = audio(tmp_path / "talk.wav")
    wrong = run("upload", path, "--bucket", "of-nobody")
    assert wrong.exit_code == ExitCode.REFUSED
    assert "no bucket of-nobody" in wrong.stderr
    assert run("upload", path, "--bucket", "Not A Name").exit_code == ExitCode.USAGE

    async def find_open_site(base: str) -> OpenAccess:
        del base
        return OpenAccess()

    monkeypatch.delenv("RECORDINGS_BUCKET")
    monkeypatch.setattr("client.cli.site_recordings.find_access", find_open_site)
    none = run("upload", path)
    assert none.exit_code == ExitCode.USAGE
    assert "source .local/aws.env" in none.stderr


def test_an_endpoint_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "nowhere")
    result = run("status", "talk.mp3", "--bucket", "bucket")
    assert result.exit_code == ExitCode.USAGE
    assert "nowhere" in result.stderr


def test_a_name_that_cannot_be_used_keeps_no_other_file(
    tmp_path: Path, files: DocumentStore
) -> None:
    strange, good = audio(tmp_path / "new\nline.wav"), audio(tmp_path / "good.wav")

    result = run("upload", strange, good, "--json")

    assert [each.get("code") for each in events(result) if each["type"] == "refused"] == ["name"]
    assert result.exit_code == ExitCode.USAGE
    assert files.objects.exists("uploads/good.wav")
