"""`upload`, `status` and `fetch` as a user runs them, against the emulator's S3."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import pytest_asyncio

from client.errors import ExitCode
from lambdas.session_combiner.combine import Combiner, Effect
from local_cloud import ROOT
from local_cloud.emulator.process import Emulator
from tests.support.eventually import eventually
from tests.support.recordings import wav
from tests.support.tables import table_definition
from tests.support.transcripts import segment, transcript
from tests.support.utterances import BEGIN, utterance
from transcripts.conversations import ConversationTable
from transcripts.documents import ConversationTranscript
from transcripts.recordings.keys import Session, recording
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture(scope="module")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture
def s3(emulator: Emulator) -> S3Client:
    client: S3Client = emulator.client("s3")
    return client


@pytest.fixture
def bucket(s3: S3Client) -> str:
    name = f"test-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def environment(emulator: Emulator, bucket: str) -> dict[str, str]:
    mine = {"RECORDINGS_BUCKET": bucket, "PYTHONWARNINGS": "error"}
    return emulator.environment() | mine


async def started(environment: Mapping[str, str], *arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "client", *map(str, arguments)),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(environment: Mapping[str, str], *arguments: object) -> tuple[int | None, str, str]:
    """Return the exit code, stdout and stderr."""
    async with asyncio.timeout(60):
        process = await started(environment, *arguments)
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert "Traceback" not in err.decode()
    return process.returncode, out.decode(), err.decode()


def audio(path: Path, seconds: float = 0.1, *, sound: int = 0) -> Path:
    return wav(path, bytes([sound, 0]) * round(8_000 * seconds), sample_rate=8_000)


def keys(s3: S3Client, bucket: str) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


async def test_a_recording_goes_up_in_parts_and_comes_back_as_captions(
    s3: S3Client, bucket: str, environment: dict[str, str], tmp_path: Path
) -> None:
    path, key = audio(tmp_path / "talk ü.wav", 2_000), "uploads/talk ü.wav"  # 32 MB

    code, out, err = await run(environment, "upload", path)
    assert (code, out) == (ExitCode.OK, f"{key}\n")
    assert "50 % of 32.0 MB" in err
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == path.read_bytes()
    code, out, _ = await run(environment, "upload", path, "--json")
    assert json.loads(out)["type"] == "skipped"
    assert (await run(environment, "fetch", key, "--format", "srt"))[0] == ExitCode.NOT_YET

    async with asyncio.timeout(60):
        watching = await started(environment, "status", path, "--watch", "--json")
        assert watching.stdout is not None
        first = json.loads(await watching.stdout.readline())
        stored_before = transcript(segment("good morning"), key=key)
        await asyncio.to_thread(
            DocumentStore(Objects(bucket, s3)).write_transcript, recording(key), stored_before
        )
        second = json.loads(await watching.stdout.readline())
        assert await watching.wait() == ExitCode.OK
    assert [first["state"], second["state"]] == ["waiting", "transcribed"]

    code, out, _ = await run(environment, "fetch", path, "--format", "srt")
    assert code == ExitCode.OK
    assert out == "1\n00:00:00,000 --> 00:00:01,000\ngood morning\n"


async def test_a_folder_becomes_a_session_and_its_transcript(
    s3: S3Client, bucket: str, environment: dict[str, str], tmp_path: Path
) -> None:
    session = Session(user_id="ann", session_id="monday")
    for n in (9, 10, 11):
        audio(tmp_path / f"part {n}.wav", sound=n)
    name = ("--session", "ann/monday")

    code, out, _ = await run(environment, "upload", tmp_path, *name)
    assert (code, out) == (ExitCode.OK, "ann/monday\n")
    code, out, _ = await run(environment, "status", *name, "--json")
    status: dict[str, Any] = json.loads(out)
    assert code == ExitCode.NOT_YET
    assert (status["chunkCount"], status["waiting"]) == (3, [1, 2, 3])

    files = DocumentStore(Objects(bucket, s3))
    for n, word in enumerate(("one", "two", "three"), 1):
        chunk = recording(f"{session.chunks_prefix}{n:03}.wav")
        files.write_transcript(chunk, transcript(segment(word), duration=2.5))
    combiner = Combiner(files, now=lambda: datetime.now(UTC), log=logging.getLogger(__name__))
    assert combiner.combine(session, lambda: 60.0).effect is Effect.WRITTEN

    code, out, err = await run(environment, "fetch", *name)
    assert (code, out, err) == (ExitCode.OK, "one\ntwo\nthree\n", "")


async def test_ctrl_c_leaves_no_half_of_a_file_in_the_bucket(
    s3: S3Client, bucket: str, environment: dict[str, str], tmp_path: Path
) -> None:
    path, size = audio(tmp_path / "long.wav"), 800_000_000
    with path.open("r+b") as file:
        file.truncate(size)  # takes no room on a disk
        file.seek(40)
        file.write((size - 44).to_bytes(4, "little"))
    async with asyncio.timeout(120):
        process = await started(environment, "upload", path)
        assert process.stderr is not None
        assert await process.stderr.readline() == b"10 % of 800.0 MB\n"
        process.send_signal(signal.SIGINT)
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == ExitCode.INTERRUPTED

    assert rest.splitlines()[-1].startswith("What is not complete is being removed")
    assert "Traceback" not in rest
    assert keys(s3, bucket) == []
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")


async def test_ctrl_c_ends_the_inspection_of_a_strange_file(
    s3: S3Client, bucket: str, environment: dict[str, str], tmp_path: Path
) -> None:
    path = audio(tmp_path / "strange.wav")
    with path.open("r+b") as file:
        file.truncate(800_000_000)  # empty parts, which FFmpeg skips for minutes
    async with asyncio.timeout(60):
        process = await started(environment, "upload", path)
        await eventually(lambda: is_open(process.pid, path), "the file is looked at")
        process.send_signal(signal.SIGINT)
        assert (await process.communicate())[0] == b""

    assert process.returncode == ExitCode.INTERRUPTED
    assert keys(s3, bucket) == []


def is_open(pid: int, path: Path) -> bool:
    return any(each.path == str(path) for each in psutil.Process(pid).open_files())


async def test_two_who_upload_to_one_place_at_once_do_not_replace_each_other(
    s3: S3Client, bucket: str, environment: dict[str, str], tmp_path: Path
) -> None:
    paths = [audio(tmp_path / f"{n}.wav", 1_100, sound=n) for n in (1, 2)]

    results = await asyncio.gather(
        *(run(environment, "upload", path, "--name", "talk.wav") for path in paths)
    )

    codes = [code for code, _, _ in results]
    assert sorted(codes, key=str) == [ExitCode.OK, ExitCode.REFUSED]
    [winner] = [path for path, code in zip(paths, codes, strict=True) if code == ExitCode.OK]
    stored = s3.get_object(Bucket=bucket, Key="uploads/talk.wav")["Body"].read()
    assert stored == winner.read_bytes()


async def test_an_obstacle_is_reported_in_one_line(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = audio(tmp_path / "talk.wav")

    code, _, err = await run(environment, "upload", path, "--bucket", "test-of-nobody")
    assert (code, "no bucket test-of-nobody" in err) == (ExitCode.REFUSED, True)

    nobody = environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    code, _, err = await run(nobody, "upload", path)
    assert (code, "source .local/aws.env" in err) == (ExitCode.NO_CONNECTION, True)

    stranger = {k: v for k, v in environment.items() if "ACCESS_KEY" not in k}
    code, _, err = await run(stranger, "upload", path)
    assert (code, "no credentials" in err) == (ExitCode.REFUSED, True)


async def test_a_stored_conversation_is_read_back(
    emulator: Emulator, environment: dict[str, str], tmp_path: Path
) -> None:
    name, client = f"test-{uuid.uuid4()}", emulator.client("dynamodb")
    client.create_table(**table_definition(name))
    table = ConversationTable(name, client, retention=timedelta(days=36_500))
    stored_before = [
        utterance(text=text, timestamp=BEGIN + timedelta(seconds=place))
        for place, text in enumerate(("good morning", "everybody"))
    ]
    for each in stored_before:
        await asyncio.to_thread(table.put, each)
    mine = environment | {"CONVERSATIONS_TABLE": name}

    assert await run(mine, "transcript", "talk") == (0, "Ada: good morning\neverybody\n", "")
    output = tmp_path / "talk.json"
    assert await run(mine, "transcript", "talk", "--format", "json", "--output", output) == (
        0,
        "",
        "",
    )
    stored = ConversationTranscript.model_validate_json(output.read_bytes())
    assert list(stored.utterances) == stored_before
    code, out, err = await run(mine, "transcript", "silence")
    assert (code, out) == (ExitCode.NO_SUCH_RECORDING, "")
    assert err == "silence: nothing is stored of this conversation\n"
