"""The objects of one S3 bucket: look them up, list them, read them, and write each once.

Writes are conditional: the first of several writers wins, and the others get False.

The caller needs `s3:GetObject`, `s3:PutObject` and, on the bucket itself, `s3:ListBucket`. Without
the last one S3 answers 403 and not 404 about an object that does not exist. The code of that error
is `404` for a HEAD, which has no body, and `NoSuchKey` elsewhere.

Calls block. They may be made in several threads at once, as botocore's clients may. If S3 refuses
or is not reached, they raise botocore's `ClientError` and `BotoCoreError`. Besides:

Exception
├── ObjectTooLarge    it has more bytes than the caller's limit; it was not read
└── Contended         others kept writing the same object
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from foundation.backoff import backoff

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

#: How often a write is tried that collides with others in the same moment.
ATTEMPTS: Final = 6
#: The longest pause before the second attempt; it doubles with each. Seconds.
FIRST_PAUSE: Final = 0.05
#: Name of the metadata with the fingerprint of an object's source; S3 prefixes `x-amz-meta-`.
FINGERPRINT: Final = "fingerprint"

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})


class ObjectTooLarge(Exception):
    """An object has more bytes than the caller wants to read."""


class Contended(Exception):
    """Others kept writing the same object; another attempt may succeed later."""


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """The metadata of an object, from a HEAD or a listing; its size is in bytes."""

    key: str
    etag: str
    size: int
    #: The time of its last write, if known.
    modified: datetime | None = None
    #: Identifies its source. None in listings, and for objects of other programs.
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an object, and their ETag."""

    body: bytes
    etag: str


class Objects:
    """The objects of one bucket. See the module."""

    def __init__(
        self, bucket: str, client: S3Client, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._bucket = bucket
        self._client = client
        self._sleep = sleep

    def head(self, key: str) -> ObjectVersion | None:
        """Return the version of an object; None if there is none."""
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        return ObjectVersion(
            key,
            head["ETag"],
            head["ContentLength"],
            head["LastModified"],
            head["Metadata"].get(FINGERPRINT),
        )

    def exists(self, key: str) -> bool:
        """Return whether there is an object."""
        return self.head(key) is not None

    def get(self, key: str, limit: int) -> Content | None:
        """Return an object of at most `limit` bytes; None if there is none.

        Raises:
            ObjectTooLarge: it has more.
        """
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        # Not `with` the body: that is the stream below it, which does not notice a missing end.
        with closing(answer["Body"]) as body:
            if answer["ContentLength"] > limit:
                raise ObjectTooLarge(f"it has more than {limit} bytes")
            return Content(body.read(), answer["ETag"])

    def list(self, prefix: str) -> Iterator[ObjectVersion]:
        """Yield every object whose key begins with `prefix`, by its key; 1,000 in a request."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        for page in pages:
            for each in page.get("Contents", ()):
                yield ObjectVersion(each["Key"], each["ETag"], each["Size"], each["LastModified"])

    def put(self, key: str, body: bytes, content_type: str, fingerprint: str) -> None:
        """Write an object unconditionally."""
        self._client.put_object(**self._request(key, body, content_type, fingerprint))

    def put_once(self, key: str, body: bytes, content_type: str, fingerprint: str) -> bool:
        """Write an object where there is none and return True; return False if there is one.

        False is also the answer if the response to a first attempt was lost on its way. Then the
        object that is there is ours.

        Raises:
            Contended: others kept writing it.
        """
        request = self._request(key, body, content_type, fingerprint)
        return self._put_if(request, {"IfNoneMatch": "*"})

    def replace(
        self, key: str, body: bytes, content_type: str, fingerprint: str, *, etag: str
    ) -> bool:
        """Write an object in place of the one with `etag`; return False if that one is gone.

        Raises:
            Contended: others kept writing it.
        """
        request = self._request(key, body, content_type, fingerprint)
        return self._put_if(request, {"IfMatch": etag})

    def _request(
        self, key: str, body: bytes, content_type: str, fingerprint: str
    ) -> PutObjectRequestTypeDef:
        return {
            "Bucket": self._bucket,
            "Key": key,
            "Body": body,
            "ContentType": content_type,
            "Metadata": {FINGERPRINT: fingerprint},
        }

    def _put_if(self, request: PutObjectRequestTypeDef, condition: Mapping[str, str]) -> bool:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._client.put_object(**request, **condition)
            except ClientError as error:
                code = _code(error)
                if code == "PreconditionFailed" or ("IfMatch" in condition and code in _ABSENT):
                    return False
                # Another write of this key is going on, and may yet fail.
                if code != "ConditionalRequestConflict":
                    raise
                self._sleep(backoff(attempt, first=FIRST_PAUSE, jitter=1))
            else:
                return True
        raise Contended("others kept writing the object")


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")
