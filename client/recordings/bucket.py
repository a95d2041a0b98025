"""The bucket of recordings, found by its name; `client.aws` says how it is reached."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from client import aws
from client.aws import DEMO_HINT, AwsResource
from client.errors import ClientError, UsageError
from transcripts.recordings.keys import UPLOADS
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: The environment variable that names the bucket.
BUCKET_VARIABLE: Final = "RECORDINGS_BUCKET"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that has answered: its name, its documents, and the client for everything else."""

    name: str
    client: S3Client
    documents: DocumentStore

    @property
    def objects(self) -> Objects:
        """The store that reads, lists and writes the bucket's objects."""
        return self.documents.objects


def open_bucket(name: str | None) -> Bucket:
    """Return the bucket of this name, after it has answered once.

    The request is a listing, because every command needs that right, and because the answer to a
    HEAD does not distinguish a missing bucket from a missing recording.

    Raises:
        UsageError: no bucket is named, or its name is invalid.
        AccessRefused: AWS denies access, or there is no such bucket.
        NoStorage: S3 does not answer.
    """
    if not name:
        raise UsageError(
            f"No bucket is named: give --bucket, or set {BUCKET_VARIABLE}. {DEMO_HINT}"
        )
    with explained(name):
        client: S3Client = aws.connect("s3")
        client.list_objects_v2(Bucket=name, Prefix=UPLOADS, MaxKeys=1)
    return Bucket(name, client, DocumentStore(Objects(name, client)))


def explained(bucket: str) -> AbstractContextManager[None]:
    """Turn errors of the bucket into those of the client; see `client.aws.explained`."""
    return aws.explained(_resource(bucket))


def explanation(error: Exception, bucket: str) -> ClientError:
    """Convert an error of S3 to a `ClientError`; see `client.aws.explanation`."""
    return aws.explanation(error, _resource(bucket))


def _resource(name: str) -> AwsResource:
    return AwsResource(
        "bucket",
        name,
        BUCKET_VARIABLE,
        "Needed are s3:GetObject and s3:PutObject on what is in it, and s3:ListBucket on itself; "
        "s3:DeleteObject to have tried again what failed (--force).",
    )
