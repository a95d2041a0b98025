"""What lies in the bucket for a recording: a transcript, or why there is none.

S3 says `404` to HEAD and `NoSuchKey` to GET for what is not there, both as `ClientError`, and only
to those who may list the bucket; others get `403` whether it is there or not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from lambdas.router.decide import Outcome
from lambdas.router.request import Request
from transcripts.recordings.keys import FAILURE, beside

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING: Final = frozenset({"404", "NoSuchKey"})
#: A record of a failure has some hundred bytes.
_MOST: Final = 65_536


class Outcomes:
    """The bucket as far as the router looks at it. Errors of its methods are botocore's."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def of(self, request: Request) -> Outcome | None:
        """Return how a recording ended; None if nobody has dealt with it."""
        if self._size(request.transcript_key) is not None:
            return Outcome.TRANSCRIBED
        return Outcome.FAILED if self._has_failed(request) else None

    def size(self, request: Request) -> int | None:
        """Return the recording's size in bytes; None if it is not there."""
        return self._size(request.job.key)

    def _size(self, key: str) -> int | None:
        try:
            return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if _is_missing(error):
                return None
            raise

    def _has_failed(self, request: Request) -> bool:
        """Return whether a failure is on record, of these very bytes if the event names them."""
        key = beside(request.transcript_key, FAILURE)
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read(_MOST)
        except ClientError as error:
            if _is_missing(error):
                return False
            raise
        return request.etag is None or _etag(body) == request.etag


def _etag(failure: bytes) -> str | None:
    """Return which bytes a record of a failure is about.

    Read by hand: the models of all documents are a twentieth of a cold start.
    """
    try:
        found = json.loads(failure)["etag"]
    except (ValueError, KeyError, TypeError):
        return None
    return found.strip('"') if isinstance(found, str) else None


def _is_missing(error: ClientError) -> bool:
    return error.response.get("Error", {}).get("Code") in _MISSING
