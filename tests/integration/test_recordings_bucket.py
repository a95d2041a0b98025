"""What the store of recordings and the combiner rely on, in the emulator's S3, over sockets."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from lambdas.session_combiner.combine import Combiner, Effect
from local_cloud.emulator.process import Emulator
from tests.support.transcripts import segment, transcript
from transcripts.documents import RecordingTranscript, SessionMetadata, SessionTranscript
from transcripts.recordings.keys import Session, beside, recording
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration

ONE, OTHER = transcript(segment("one thing")), transcript(segment("another thing"))


@pytest_asyncio.fixture(scope="module")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    data: Path = tmp_path_factory.mktemp("emulator")
    async with Emulator(data) as running:
        yield running


@pytest.fixture
def s3(emulator: Emulator) -> S3Client:
    client: S3Client = emulator.client("s3")
    return client


@pytest.fixture
def name(s3: S3Client) -> str:
    name = f"test-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def bucket(s3: S3Client, name: str) -> DocumentStore:
    return DocumentStore(Objects(name, s3))


async def test_what_does_not_exist_is_absent_and_a_bucket_that_does_not_is_an_error(
    s3: S3Client, bucket: DocumentStore
) -> None:
    assert not bucket.objects.exists("a.json")
    assert bucket.get("a.json", RecordingTranscript) is None
    with pytest.raises(ClientError, match="NoSuchBucket"):
        list(DocumentStore(Objects("test-no-such-bucket", s3)).objects.list(""))


async def test_of_many_writers_at_once_exactly_one_is_the_first(bucket: DocumentStore) -> None:
    written = await asyncio.gather(
        *(asyncio.to_thread(bucket.put_once, "a.json", ONE) for _ in range(16))
    )

    assert sorted(written) == [False] * 15 + [True]


async def test_only_who_has_seen_a_document_replaces_it(bucket: DocumentStore) -> None:
    bucket.put_once("a.json", ONE)
    seen = bucket.get("a.json", RecordingTranscript)
    assert seen is not None

    replaced = await asyncio.gather(
        *(asyncio.to_thread(bucket.replace, "a.json", OTHER, seen.etag) for _ in range(8))
    )

    # The same content has the same ETag, but ours has changed.
    assert sorted(replaced) == [False] * 7 + [True]
    assert not bucket.replace("gone.json", OTHER, seen.etag)
    found = bucket.get("a.json", RecordingTranscript)
    assert found is not None
    assert found.document == OTHER


async def test_a_listing_has_pages_and_all_of_them_come(
    s3: S3Client, name: str, bucket: DocumentStore
) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda n: s3.put_object(Bucket=name, Key=f"a/{n:04} ü", Body=b"12345"), range(1_050)
            )
        )
    s3.put_object(Bucket=name, Key="b", Body=b"")

    page = s3.list_objects_v2(Bucket=name, Prefix="a/")
    listed = list(bucket.objects.list("a/"))

    assert (page["KeyCount"], page["IsTruncated"]) == (1_000, True)
    assert [each.key for each in listed] == [f"a/{n:04} ü" for n in range(1_050)]
    assert listed[-1].size == 5
    assert listed[-1].etag == s3.head_object(Bucket=name, Key="a/1049 ü")["ETag"]


async def test_captions_know_what_they_were_made_of(s3: S3Client, name: str) -> None:
    bucket = DocumentStore(Objects(name, s3))
    audio = recording("uploads/talk.mp3")

    assert bucket.write_transcript(audio, ONE)
    assert not bucket.write_transcript(audio, OTHER)

    version = bucket.objects.head(audio.transcript_key)
    assert version is not None
    assert version.fingerprint is not None
    assert bucket.stale_captions(audio.transcript_key, version.fingerprint) == []
    answer = s3.get_object(Bucket=name, Key=beside(audio.transcript_key, ".vtt"))
    assert b"one thing" in answer["Body"].read()
    assert answer["ContentType"] == "text/vtt; charset=utf-8"


async def test_invocations_at_once_combine_a_session_once(s3: S3Client, name: str) -> None:
    session = Session(user_id="ann", session_id="monday")
    bucket = DocumentStore(Objects(name, s3))
    for n in range(1, 13):
        audio = recording(f"{session.chunks_prefix}{n}.webm")
        bucket.write_transcript(audio, transcript(segment(f"chunk {n}"), duration=2.5))
    s3.put_object(
        Bucket=name,
        Key=session.metadata_key,
        Body=SessionMetadata(chunk_count=12).model_dump_json(by_alias=True).encode(),
    )
    combiner = Combiner(bucket, now=lambda: datetime.now(UTC), log=logging.getLogger(__name__))

    results = await asyncio.gather(
        *(asyncio.to_thread(combiner.combine, session, lambda: 60.0) for _ in range(4))
    )

    outcomes = [each.effect for each in results]
    assert outcomes.count(Effect.WRITTEN) == 1
    assert outcomes.count(Effect.UNCHANGED) == 3
    found = bucket.get(session.transcript_key, SessionTranscript)
    assert found is not None
    assert [each.start_time for each in found.document.segments] == [2.5 * n for n in range(12)]
