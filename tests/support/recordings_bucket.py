"""A bucket of recordings in memory, for unit tests, that counts what is written."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "recordings-of-ours"
REGION: Final = "eu-central-1"
#: When everything was written, as far as `S3InMemory` knows.
WRITTEN: Final = datetime(2026, 11, 20, tzinfo=UTC)


class Calls:
    """Counts the requests of a client that succeeded, by operation and key."""

    def __init__(self, client: S3Client) -> None:
        self.made: Counter[tuple[str, str]] = Counter()
        self._key: dict[int, str] = {}
        client.meta.events.register("provide-client-params.s3", self._asked)
        client.meta.events.register("after-call.s3", self._answered)

    def _asked(self, params: dict[str, Any], context: Any, **_: Any) -> None:
        context["cloudscribe_key"] = params.get("Key") or params.get("Prefix") or ""

    def _answered(self, model: Any, http_response: Any, context: dict[str, Any], **_: Any) -> None:
        if http_response.status_code < 300:
            self.made[model.name, context["cloudscribe_key"]] += 1

    def puts(self, key: str) -> int:
        return self.made["PutObject", key]

    def of(self, operation: str) -> int:
        return sum(count for (name, _), count in self.made.items() if name == operation)


@contextmanager
def bucket_in_memory() -> Iterator[S3Client]:
    """Give a client of a fresh bucket `BUCKET`."""
    with mock_aws():
        client = boto3.client("s3", region_name=REGION)
        client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        yield client


def recordings(client: S3Client) -> DocumentStore:
    return DocumentStore(Objects(BUCKET, client, sleep=lambda _: None))


class S3InMemory:
    """As much of S3 as `transcripts.recordings.objects` uses, for many requests at once.

    A request is one atomic step, as with S3 and unlike with moto. What S3 really answers is shown
    by the tests with moto and with the emulator.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str, dict[str, str]]] = {}
        #: Successful writes of each key.
        self.puts: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()

    def put_object(
        self,
        *,
        Key: str,  # noqa: N803 - names of S3
        Body: bytes,  # noqa: N803
        IfNoneMatch: str | None = None,  # noqa: N803
        IfMatch: str | None = None,  # noqa: N803
        Metadata: dict[str, str] | None = None,  # noqa: N803
        **_: object,
    ) -> dict[str, str]:
        with self._lock:
            self.requests["put"] += 1
            there = self.objects.get(Key)
            if IfMatch and there is None:
                raise _refusal("NoSuchKey", 404)
            if (IfNoneMatch and there) or (IfMatch and there and there[1] != IfMatch):
                raise _refusal("PreconditionFailed", 412)
            self.puts[Key] += 1
            self.objects[Key] = (Body, f'"{hashlib.md5(Body).hexdigest()}"', Metadata or {})  # noqa: S324 - an ETag
            return {"ETag": self.objects[Key][1]}

    def head_object(self, *, Key: str, **_more: object) -> dict[str, Any]:  # noqa: N803
        with self._lock:
            self.requests["head"] += 1
            if Key not in self.objects:
                raise _refusal("404", 404)
            body, etag, metadata = self.objects[Key]
            return {
                "ContentLength": len(body),
                "ETag": etag,
                "Metadata": metadata,
                "LastModified": WRITTEN,
            }

    def get_object(self, *, Key: str, **_: object) -> dict[str, Any]:  # noqa: N803
        with self._lock:
            self.requests["get"] += 1
            if Key not in self.objects:
                raise _refusal("NoSuchKey", 404)
            body, etag, metadata = self.objects[Key]
            return {
                "Body": io.BytesIO(body),
                "ContentLength": len(body),
                "ETag": etag,
                "Metadata": metadata,
            }

    def get_paginator(self, _: str) -> S3InMemory:
        return self

    def paginate(self, *, Prefix: str, **_: object) -> Iterator[dict[str, Any]]:  # noqa: N803
        with self._lock:
            found = [
                {"Key": key, "ETag": etag, "Size": len(body), "LastModified": WRITTEN}
                for key, (body, etag, _metadata) in self.objects.items()
                if key.startswith(Prefix)
            ]
        found.sort(key=lambda each: str(each["Key"]))
        for begin in range(0, max(1, len(found)), 1000):
            self.requests["list"] += 1
            yield {"Contents": found[begin : begin + 1000]} if found else {}


def _refusal(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]  # the rest does not matter
        "Operation",
    )
