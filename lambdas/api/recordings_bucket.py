"""People's recordings in the bucket: their multipart uploads, and what became of them.

Every address is signed for exactly one request. The function lists by prefix and does not ask for
single objects, because S3 answers 404 about an absent object only to those who may list the whole
bucket.

    PartChanged    a part is not the one that was listed
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from access.parts import part_bytes
from access.records import RecordingRecord
from transcripts.recordings.keys import FAILURE, TRANSCRIPT, Upload, beside, upload_of
from transcripts.recordings.objects import Objects, ObjectTooLarge
from transcripts.recordings.status import RecordingState, decide_state, is_about

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: How long addresses last, seconds.
PART_SECONDS: Final = 900
TRANSCRIPT_SECONDS: Final = 300
#: Options of the S3 client. botocore signs addresses by Signature Version 2 unless told otherwise,
#: which leaves the length of a part out, and for S3's global host, which may redirect. Checksums
#: of its own would be required of every part.
SIGNING: Final[Mapping[str, Any]] = {
    "signature_version": "s3v4",
    "s3": {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
    "request_checksum_calculation": "when_required",
}
#: The largest failure that is read, bytes.
_MAX_FAILURE_BYTES: Final = 65_536
_NO_UPLOAD: Final = "NoSuchUpload"
_CHANGED: Final = frozenset({"InvalidPart", "InvalidPartOrder"})


class PartChanged(Exception):
    """A part was replaced since it was listed."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that S3 has."""

    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of a recording, and why it failed: a code and a message."""

    state: RecordingState
    failure: tuple[str, str] | None = None


class RecordingsBucket:
    """The bucket. Methods raise botocore's errors.

    Args:
        name: the bucket's.
        connect: returns the client of S3, made with `SIGNING`. Few processes need it.
    """

    def __init__(self, name: str, connect: Callable[[], S3Client]) -> None:
        self._name = name
        self._connect = connect

    @property
    def _client(self) -> S3Client:
        return self._connect()

    @property
    def _objects(self) -> Objects:
        return Objects(self._name, self._client)

    # --- uploads ------------------------------------------------------------------------

    def create_upload(self, person: str, recording_id: str, content_type: str) -> str:
        """Begin a multipart upload; return its id."""
        return self._client.create_multipart_upload(
            Bucket=self._name,
            Key=upload_of(person, recording_id).key,
            ContentType=content_type,
            Metadata={"person": person, "recording": recording_id},
        )["UploadId"]

    def sign_part(self, record: RecordingRecord, number: int) -> str:
        """Return the address to which one part of a recording is sent, in exactly its size."""
        return self._client.generate_presigned_url(
            "upload_part",
            Params={
                **self._upload(record),
                "PartNumber": number,
                "ContentLength": part_bytes(record.size, number),
            },
            ExpiresIn=PART_SECONDS,
        )

    def list_parts(self, record: RecordingRecord) -> dict[int, StoredPart] | None:
        """Return the parts that S3 has, by their numbers; None if there is no such upload."""
        try:
            answer = self._client.list_parts(**self._upload(record), MaxParts=1_000)
        except ClientError as error:
            if _code(error) == _NO_UPLOAD:
                return None
            raise
        return {
            part["PartNumber"]: StoredPart(part["ETag"], part["Size"])
            for part in answer.get("Parts", ())
        }

    def complete_upload(self, record: RecordingRecord, parts: Mapping[int, StoredPart]) -> None:
        """Make the object of its parts. Nothing happens if there is no such upload (any more).

        Raises:
            PartChanged: a part is not the listed one.
        """
        listed = [{"PartNumber": number, "ETag": parts[number].etag} for number in sorted(parts)]
        try:
            self._client.complete_multipart_upload(
                **self._upload(record),
                MultipartUpload={"Parts": listed},  # type: ignore[typeddict-item]  # as the stubs' own
            )
        except ClientError as error:
            if _code(error) in _CHANGED:
                raise PartChanged from None
            if _code(error) != _NO_UPLOAD:
                raise

    def abort_upload(self, record: RecordingRecord) -> None:
        """Remove an upload with its parts, unless that was done before."""
        try:
            self._client.abort_multipart_upload(**self._upload(record))
        except ClientError as error:
            if _code(error) != _NO_UPLOAD:
                raise

    # --- what became of it --------------------------------------------------------------

    def has_audio(self, record: RecordingRecord) -> bool:
        """Return whether the recording lies in the bucket."""
        return self._find_etag(_place(record)) is not None

    def read_progress(self, record: RecordingRecord) -> Progress:
        """Return what became of a recording; `UNKNOWN` if the bucket has nothing of it."""
        place = _place(record)
        transcript_key = place.transcript_key
        prefix = transcript_key.removesuffix(TRANSCRIPT)
        outcomes = {each.key for each in self._objects.list(prefix)}
        if transcript_key in outcomes:
            return Progress(RecordingState.TRANSCRIBED)
        etag = self._find_etag(place)
        failure_key = beside(transcript_key, FAILURE)
        failure = self._read_failure(failure_key) if failure_key in outcomes else None
        has_failed = failure is not None and is_about(failure.get("etag"), etag)
        state = decide_state(
            has_transcript=False, has_failed=has_failed, has_audio=etag is not None
        )
        if failure is None or not has_failed:
            return Progress(state)
        return Progress(state, (failure.get("code", ""), failure.get("message", "")))

    def sign_transcript(self, record: RecordingRecord, suffix: str) -> str:
        """Return the address of a transcript or its captions, by their suffix."""
        return self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._name,
                "Key": beside(_place(record).transcript_key, suffix),
                "ResponseContentDisposition": f'attachment; filename="transcript{suffix}"',
            },
            ExpiresIn=TRANSCRIPT_SECONDS,
        )

    # --- parts --------------------------------------------------------------------------

    def _upload(self, record: RecordingRecord) -> Any:
        """Return the parameters that name an upload."""
        return {"Bucket": self._name, "Key": _place(record).key, "UploadId": record.upload_id}

    def _find_etag(self, place: Upload) -> str | None:
        found = next(self._objects.list(place.key), None)
        return found.etag if found is not None and found.key == place.key else None

    def _read_failure(self, key: str) -> dict[str, str] | None:
        """Return the texts of a failure; None if it was deleted in this moment."""
        try:
            found = self._objects.get(key, _MAX_FAILURE_BYTES)
            document = None if found is None else json.loads(found.body)
        except (ObjectTooLarge, ValueError):
            return {}
        if document is None:
            return None
        fields = document if isinstance(document, dict) else {}
        return {name: value for name, value in fields.items() if isinstance(value, str)}


def _place(record: RecordingRecord) -> Upload:
    return upload_of(record.owner, record.recording_id)


def _code(error: ClientError) -> str:
    return str(error.response["Error"].get("Code", ""))
