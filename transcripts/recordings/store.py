"""The documents of recordings in their S3 bucket; the first writer of each wins.

    store = DocumentStore(Objects(name, client))
    store.write_transcript(recording(key), transcript)      # by whoever transcribed it
    store.write_failure(recording(key), failure)            # by whoever found that it cannot be

Captions are written before their transcript, so every transcript has captions. The metadata of all
these objects have the *fingerprint* of their source, so captions can be compared with a transcript
without reading either. A writer that was not first repairs the captions that it has overwritten.

Errors are those of `transcripts.recordings.objects`, and:

Exception
└── UnreadableDocument    the object is not the expected document; quotes nothing
    ├── UnknownVersion    it has another version
    └── DocumentTooLarge  it exceeds the limit of its kind; it was not read
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pydantic import ValidationError

from foundation.invalid import summarise
from transcripts.captions.formats import CONTENT_TYPES, Transcript, captions
from transcripts.documents import (
    Failure,
    RecordingTranscript,
    SessionEnd,
    SessionMetadata,
    SessionTranscript,
)
from transcripts.models import Model
from transcripts.recordings.keys import CAPTIONS, FAILURE, Recording, Upload, beside
from transcripts.recordings.objects import ATTEMPTS, Contended, Objects, ObjectTooLarge

#: Largest documents that are read, bytes. An hour of speech with its words takes about 0.8 MB.
LIMITS: Final[Mapping[type[Model], int]] = {
    RecordingTranscript: 64 * 1024**2,
    SessionTranscript: 256 * 1024**2,
    Failure: 64 * 1024,
    SessionMetadata: 64 * 1024,
    SessionEnd: 64 * 1024,
}
_JSON: Final = "application/json"

D = TypeVar("D", bound=Model)


class UnreadableDocument(Exception):
    """An object is not the expected document. The message quotes no content."""


class UnknownVersion(UnreadableDocument):
    """A document has a version that this release does not know."""


class DocumentTooLarge(UnreadableDocument):
    """A document exceeds the limit of its kind (`LIMITS`)."""


@dataclass(frozen=True, slots=True)
class StoredDocument(Generic[D]):
    """A document that was read, and its ETag."""

    document: D
    etag: str


class DocumentStore:
    """The documents of a bucket. See the module."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    # --- reading --------------------------------------------------------------------------------

    def get(self, key: str, kind: type[D]) -> StoredDocument[D] | None:
        """Return the document at `key`; None if there is none.

        Raises:
            UnreadableDocument: something else is there.
        """
        limit = LIMITS[kind]
        try:
            found = self.objects.get(key, limit)
        except ObjectTooLarge:
            raise DocumentTooLarge(f"a {kind.__name__} has at most {limit} bytes") from None
        return None if found is None else StoredDocument(parse(found.body, kind), found.etag)

    # --- writing --------------------------------------------------------------------------------

    def put_once(self, key: str, document: Model, *, fingerprint: str | None = None) -> bool:
        """Store a document where there is none and return True; see `Objects.put_once`.

        Raises:
            Contended: others kept writing it.
        """
        body = encode(document)
        return self.objects.put_once(key, body, _JSON, fingerprint or _digest(body))

    def replace(
        self, key: str, document: Model, etag: str, *, fingerprint: str | None = None
    ) -> bool:
        """Store a document in place of the one with `etag`; see `Objects.replace`.

        Raises:
            Contended: others kept writing it.
        """
        body = encode(document)
        return self.objects.replace(key, body, _JSON, fingerprint or _digest(body), etag=etag)

    def write_transcript(self, audio: Recording, transcript: RecordingTranscript) -> bool:
        """Store a recording's transcript, and before it the captions of a single file.

        Return False if there is one already, and repair its captions. It may be called again after
        any failure.

        Raises:
            Contended: others kept writing it.
            UnreadableDocument: there is something that is no transcript.
        """
        key = audio.transcript_key
        body = encode(transcript)
        if not self.objects.exists(key):
            if isinstance(audio, Upload):
                self.write_captions(key, transcript, _digest(body))
            if self.objects.put_once(key, body, _JSON, _digest(body)):
                return True
        self.repair_captions(audio)
        return False

    def repair_captions(self, audio: Recording) -> None:
        """Write the captions of a single file anew where they do not belong to its transcript.

        For callers that find a transcript already stored: another writer may have ended between
        captions and transcript.

        Raises:
            UnreadableDocument: there is something that is no transcript.
        """
        key = audio.transcript_key
        version = self.objects.head(key) if isinstance(audio, Upload) else None
        if version is None:
            return
        fingerprint = version.fingerprint or version.etag.strip('"')
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
        if self.objects.exists(audio.transcript_key):
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
        """Write the captions that do not carry `fingerprint`; return whether there were any.

        They replace existing ones: the transcript decides which captions are right.
        """
        stale = self.stale_captions(transcript_key, fingerprint)
        made = captions(transcript) if stale else {}
        for suffix in stale:
            key, body = beside(transcript_key, suffix), made[suffix].encode()
            self.objects.put(key, body, CONTENT_TYPES[suffix], fingerprint)
        return bool(stale)

    def stale_captions(self, transcript_key: str, fingerprint: str) -> list[str]:
        """Return the suffixes of captions that are missing, or of another transcript."""
        stale = []
        for suffix in CAPTIONS:
            version = self.objects.head(beside(transcript_key, suffix))
            if version is None or version.fingerprint != fingerprint:
                stale.append(suffix)
        return stale


def encode(document: Model) -> bytes:
    """Return a document as it is stored: JSON, camelCase, without fields that are None."""
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
