"""The home of recordings' documents: one S3 bucket, and who may write what in it once.

    recordings = Recordings(name, client)
    recordings.write_transcript(recording(key), transcript)      # by whoever transcribed it
    recordings.write_failure(recording(key), failure)            # by whoever found that it can't

A transcript is stored by a conditional write, so of several who store one the first wins, and the
others learn it. Captions are written before: where a transcript is, its captions are. Each of
these objects carries in its metadata the *fingerprint* of what it was made of, so it shows without
reading them whether captions belong to a transcript; whoever lost sets right what they spoilt.

Whoever reads or writes here needs `s3:GetObject`, `s3:PutObject` and, on the bucket itself,
`s3:ListBucket`: without it S3 answers 403 and not 404 about what does not exist. A HEAD has no
body, so what does not exist is the code `404` there, and `NoSuchKey` elsewhere.

Calls block. They may be made in several threads at once, for botocore's clients may. What S3
refuses, and when it is not reached, is botocore's `ClientError` and `BotoCoreError`. Besides:

Exception
├── UnreadableDocument    what lies there is not the document that is asked for; quotes nothing
│   ├── UnknownVersion    it has another version
│   └── DocumentTooLarge  it is larger than such documents are; it was not read
└── Contended             others kept writing the same object
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from botocore.exceptions import ClientError
from pydantic import ValidationError

from foundation.backoff import backoff
from foundation.invalid import summarise
from transcripts.captions import CONTENT_TYPES, Transcript, captions
from transcripts.documents import (
    Failure,
    RecordingTranscript,
    SessionEnd,
    SessionMetadata,
    SessionTranscript,
)
from transcripts.models import Model
from transcripts.recordings import CAPTIONS, FAILURE, Recording, Upload, beside
from transcripts.sessions import Listed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

#: Largest documents that are read, bytes. An hour of speech with its words takes about 0.8 MB.
LIMITS: Final[Mapping[type[Model], int]] = {
    RecordingTranscript: 64 * 1024**2,
    SessionTranscript: 256 * 1024**2,
    Failure: 64 * 1024,
    SessionMetadata: 64 * 1024,
    SessionEnd: 64 * 1024,
}
#: Name of the metadata that tells what an object was made of; S3 puts `x-amz-meta-` before it.
FINGERPRINT: Final = "fingerprint"
#: How often a write is tried that collides with others in the same moment.
ATTEMPTS: Final = 6
#: The first pause between two of them, seconds.
FIRST_PAUSE: Final = 0.05

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})

D = TypeVar("D", bound=Model)


class UnreadableDocument(Exception):
    """What lies at a key is not the document that is asked for. Tells no content."""


class UnknownVersion(UnreadableDocument):
    """A document has a version that is not known here."""


class DocumentTooLarge(UnreadableDocument):
    """A document is larger than such documents are."""


class Contended(Exception):
    """Others kept writing the same object; it is worth trying again later."""


@dataclass(frozen=True, slots=True)
class Found(Generic[D]):
    """A document that was read, and its ETag."""

    document: D
    etag: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an object without reading it."""

    etag: str
    #: None where somebody else has put it there.
    fingerprint: str | None
    #: When it was written.
    modified: datetime


class Recordings:
    """The bucket of recordings. See the module."""

    def __init__(
        self, bucket: str, client: S3Client, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._bucket = bucket
        self._client = client
        self._sleep = sleep

    # --- reading --------------------------------------------------------------------------------

    def exists(self, key: str) -> bool:
        """Return whether there is an object."""
        return self.standing(key) is not None

    def standing(self, key: str) -> Standing | None:
        """Return what is known of an object; None if there is none."""
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        return Standing(head["ETag"], head["Metadata"].get(FINGERPRINT), head["LastModified"])

    def get(self, key: str, kind: type[D]) -> Found[D] | None:
        """Return the document at `key`; None if there is none.

        Raises:
            UnreadableDocument: something else is there.
        """
        limit = LIMITS[kind]
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        # Not `with` the body: that gives the stream below it, which does not miss what is cut off.
        with closing(answer["Body"]) as body:
            if answer["ContentLength"] > limit:
                raise DocumentTooLarge(f"a {kind.__name__} has at most {limit} bytes")
            content = body.read()
        return Found(parse(content, kind), answer["ETag"])

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Return every object whose key begins with `prefix`, by its key; 1,000 in a request."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        for page in pages:
            for each in page.get("Contents", ()):
                yield Listed(each["Key"], each["ETag"], each["Size"], each["LastModified"])

    # --- writing --------------------------------------------------------------------------------

    def put_once(self, key: str, document: Model, *, fingerprint: str | None = None) -> bool:
        """Store a document where there is none and return True; return False if there is one.

        False is also the answer when the answer to a first attempt got lost on its way: then the
        one that is there is ours.

        Raises:
            Contended: others kept writing it.
        """
        body = encode(document)
        return self._put_json(key, body, fingerprint or _digest(body), {"IfNoneMatch": "*"})

    def replace(
        self, key: str, document: Model, etag: str, *, fingerprint: str | None = None
    ) -> bool:
        """Store a document in place of the one with `etag`; return False if it is there no more.

        Raises:
            Contended: others kept writing it.
        """
        body = encode(document)
        return self._put_json(key, body, fingerprint or _digest(body), {"IfMatch": etag})

    def write_transcript(self, audio: Recording, transcript: RecordingTranscript) -> bool:
        """Store a recording's transcript, and before it the captions of a single file.

        Return False if there is one already; then its captions are set right where they need it.
        It may be called again after any failure.

        Raises:
            Contended: others kept writing it.
            UnreadableDocument: there is something that is no transcript.
        """
        key = audio.transcript_key
        body = encode(transcript)
        if not self.exists(key):
            if isinstance(audio, Upload):
                self.write_captions(key, transcript, _digest(body))
            if self._put_json(key, body, _digest(body), {"IfNoneMatch": "*"}):
                return True
        self.mend_captions(audio)
        return False

    def mend_captions(self, audio: Recording) -> None:
        """Have the captions beside a single file's transcript be made of the one that is stored.

        Nothing is written where they are. For whoever finds a transcript that is there already:
        another writer may have ended between captions and transcript.

        Raises:
            UnreadableDocument: there is something that is no transcript.
        """
        key = audio.transcript_key
        standing = self.standing(key) if isinstance(audio, Upload) else None
        if standing is None:
            return
        fingerprint = standing.fingerprint or standing.etag.strip('"')
        if self.stale_captions(key, fingerprint):
            stored = self.get(key, RecordingTranscript)
            if stored is not None:
                self.write_captions(key, stored.document, fingerprint)

    def write_failure(self, audio: Recording, failure: Failure) -> bool:
        """Store why a recording has no transcript; return False if that or a transcript is there.

        A failure of other bytes, which had the same key, is replaced.

        Raises:
            Contended: others kept writing it.
            UnreadableDocument: there is something that is no failure.
        """
        if self.exists(audio.transcript_key):
            return False
        key = beside(audio.transcript_key, FAILURE)
        for _ in range(ATTEMPTS):
            if self.put_once(key, failure):
                return True
            stored = self.get(key, Failure)
            if stored is None:
                continue  # it was deleted in this moment
            if stored.document.etag == failure.etag:
                return False
            if self.replace(key, failure, stored.etag):
                return True
        raise Contended("others kept writing the failure")

    def write_captions(self, transcript_key: str, transcript: Transcript, fingerprint: str) -> bool:
        """Write those captions that were not made of `fingerprint`; return whether there were any.

        They are written whatever is there: a transcript decides which of them are right.
        """
        stale = self.stale_captions(transcript_key, fingerprint)
        made = captions(transcript) if stale else {}
        for suffix in stale:
            self._client.put_object(
                Bucket=self._bucket,
                Key=beside(transcript_key, suffix),
                Body=made[suffix].encode(),
                ContentType=CONTENT_TYPES[suffix],
                Metadata={FINGERPRINT: fingerprint},
            )
        return bool(stale)

    def stale_captions(self, transcript_key: str, fingerprint: str) -> list[str]:
        """Return the suffixes of captions that are missing, or made of something else."""
        stale = []
        for suffix in CAPTIONS:
            standing = self.standing(beside(transcript_key, suffix))
            if standing is None or standing.fingerprint != fingerprint:
                stale.append(suffix)
        return stale

    def _put_json(
        self, key: str, body: bytes, fingerprint: str, condition: Mapping[str, str]
    ) -> bool:
        request: PutObjectRequestTypeDef = {
            "Bucket": self._bucket,
            "Key": key,
            "Body": body,
            "ContentType": "application/json",
            "Metadata": {FINGERPRINT: fingerprint},
            **condition,  # type: ignore[typeddict-item]  # one of two of its keys
        }
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._client.put_object(**request)
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


def encode(document: Model) -> bytes:
    """Return a document as it is stored: JSON, camelCase, without what is not known."""
    return document.model_dump_json(by_alias=True, exclude_none=True).encode()


def parse(content: bytes, kind: type[D]) -> D:
    """Return the document that `content` holds.

    Raises:
        UnreadableDocument: it holds something else.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        if any(each["loc"] == ("version",) for each in error.errors(include_input=False)):
            raise UnknownVersion(f"a {kind.__name__} of an unknown version") from None
        raise UnreadableDocument(f"not a {kind.__name__}: {summarise(error)}") from None


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]
