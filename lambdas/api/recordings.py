"""What people do with their recordings: upload, look, fetch the transcript.

docs/access.md, "Recordings", has the states and what happens where the function dies in between.
Methods raise `ProblemError` where the caller is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from access.decisions import Action, Reason, Refused, may
from access.messages import (
    FIRST_PARTS,
    MOST_OPEN_UPLOADS,
    RECORDINGS_PAGE,
    NewRecording,
    PartAddress,
    PartAddresses,
    Recording,
    RecordingFailure,
    RecordingPage,
    RecordingStateName,
    StartedUpload,
    TranscriptAddress,
    TranscriptKind,
    WantedParts,
)
from access.parts import PART_BYTES, count_parts, find_wrong_parts, part_bytes
from access.records import RecordingRecord, UploadState
from access.secret import Secret, make_id
from access.store import AccessTable, RecordChanged
from lambdas.api.identity import Identity
from lambdas.api.problems import ProblemError, refuse
from lambdas.api.recordings_bucket import (
    PART_SECONDS,
    TRANSCRIPT_SECONDS,
    PartChanged,
    RecordingsBucket,
)
from transcripts.recordings.status import RecordingState

#: How long an upload may take. The bucket's lifecycle removes the parts after that.
UPLOAD_LASTS: Final = timedelta(days=1)
#: Items of uploads that are over stay for some days, until DynamoDB deletes them.
_UPLOADS_READ: Final = 200
#: Recordings whose state is looked up at once.
_LOOKUPS: Final = 8
#: So many numbers of missing parts are named.
_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Recordings:
    """The API's actions on recordings.

    Attributes:
        table: has the records.
        bucket: has the recordings.
        lasts: how long the bucket keeps a recording; None for ever.
        now: returns the current time.
    """

    table: AccessTable
    bucket: RecordingsBucket
    lasts: timedelta | None
    now: Callable[[], datetime]

    def create(self, caller: Identity, wanted: NewRecording) -> StartedUpload:
        """Begin an upload; return the first addresses."""
        person = self._require(caller, Action.UPLOAD)
        now = self.now()
        is_open = self.table.count_open_uploads(person, now, limit=_UPLOADS_READ)
        if is_open >= MOST_OPEN_UPLOADS:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many",
                f"There are {MOST_OPEN_UPLOADS} open uploads; complete or abort one first.",
            )
        recording_id = make_id()
        record = RecordingRecord(
            recording_id=recording_id,
            owner=person,
            title=wanted.title,
            file_name=wanted.file_name,
            size=wanted.size,
            content_type=wanted.content_type,
            created_at=now,
            upload_id=self.bucket.create_upload(person, recording_id, wanted.content_type),
        )
        self.table.add_recording(record, now + UPLOAD_LASTS)
        count = count_parts(record.size)
        return StartedUpload(
            recording=_view(record, "uploading"),
            part_bytes=PART_BYTES,
            part_count=count,
            parts=self._sign(record, range(1, min(count, FIRST_PARTS) + 1)),
            seconds_left=PART_SECONDS,
        )

    def sign_parts(self, caller: Identity, recording_id: str, wanted: WantedParts) -> PartAddresses:
        """Return the addresses of parts of an open upload."""
        record = self._open_upload(caller, recording_id)
        count = count_parts(record.size)
        if max(wanted.numbers) > count:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "invalid",
                f"numbers: this upload has the parts 1 to {count}.",
            )
        parts = self._sign(record, sorted(set(wanted.numbers)))
        return PartAddresses(parts=parts, seconds_left=PART_SECONDS)

    def complete(self, caller: Identity, recording_id: str) -> Recording:
        """Make the recording of its parts. What is complete already stays so."""
        record = self._find(caller, Action.UPLOAD, recording_id)
        if record.upload is UploadState.UPLOADED:
            return self._look(record)
        parts = None if self._is_over(record) else self.bucket.list_parts(record)
        if parts is not None:
            sizes = {number: part.size for number, part in parts.items()}
            if wrong := find_wrong_parts(record.size, sizes):
                raise _missing(wrong)
            # From here on nothing forgets the record, so that no recording is without one.
            record = self._replace(record, UploadState.UPLOADING, self._find_end())
            try:
                self.bucket.complete_upload(record, parts)
            except PartChanged:
                raise ProblemError(
                    HTTPStatus.CONFLICT,
                    "parts_changed",
                    "A part was sent again in this moment; complete the upload again.",
                ) from None
        record = self._settle(record)
        if record.upload is UploadState.ABORTED:
            raise _over()
        return self._look(record)

    def abort(self, caller: Identity, recording_id: str) -> None:
        """Remove an open upload. One that is aborted already stays so."""
        record = self._find(caller, Action.UPLOAD, recording_id)
        if record.upload is UploadState.UPLOADING:
            self.bucket.abort_upload(record)
            record = self._settle(record)
        if record.upload is UploadState.UPLOADED:
            raise ProblemError(
                HTTPStatus.CONFLICT, "uploaded", "This recording is complete: it stays."
            )

    def get(self, caller: Identity, recording_id: str) -> Recording:
        """Return a recording with its state."""
        return self._look(self._find(caller, Action.READ_RECORDINGS, recording_id))

    def list_page(self, caller: Identity, cursor: str | None) -> RecordingPage:
        """Return a page of the caller's recordings with their states."""
        person = self._require(caller, Action.READ_RECORDINGS)
        page = self.table.list_recordings(person, limit=RECORDINGS_PAGE, cursor=cursor)
        records = self.table.read_recordings(person, page.recordings)
        if not records:
            return RecordingPage(recordings=(), cursor=page.cursor)
        with ThreadPoolExecutor(_LOOKUPS) as pool:
            return RecordingPage(
                recordings=tuple(pool.map(self._look, records)), cursor=page.cursor
            )

    def sign_transcript(
        self, caller: Identity, recording_id: str, kind: TranscriptKind
    ) -> TranscriptAddress:
        """Return the address of a recording's transcript or captions."""
        record = self._find(caller, Action.READ_RECORDINGS, recording_id)
        seen = self._look(record)
        if seen.state != "transcribed":
            why = seen.failure.message if seen.failure else f"The recording is {seen.state}."
            raise ProblemError(HTTPStatus.CONFLICT, f"recording_{seen.state}", why)
        address = self.bucket.sign_transcript(record, f".{kind}")
        return TranscriptAddress(address=address, seconds_left=TRANSCRIPT_SECONDS)

    # --- parts --------------------------------------------------------------------------

    def _require(self, caller: Identity, action: Action) -> str:
        """Return the id of the caller, a person who may do `action`."""
        if isinstance(caller, Secret):  # a link is for tickets alone
            raise refuse(Reason.NOT_SIGNED_IN)
        decision = may(caller, action, self.table.load(caller), self.now())
        if isinstance(decision, Refused):
            raise refuse(decision.reason)
        return caller.subject

    def _find(self, caller: Identity, action: Action, recording_id: str) -> RecordingRecord:
        """Return a recording of the caller; another person's is as unknown as one that is not."""
        record = self.table.find_recording(self._require(caller, action), recording_id)
        if record is None:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "recording_not_found",
                "There is no such recording of yours.",
            )
        return record

    def _open_upload(self, caller: Identity, recording_id: str) -> RecordingRecord:
        record = self._find(caller, Action.UPLOAD, recording_id)
        if record.upload is not UploadState.UPLOADING or self._is_over(record):
            raise _over()
        return record

    def _is_over(self, record: RecordingRecord) -> bool:
        return self.now() >= record.created_at + UPLOAD_LASTS

    def _find_end(self) -> datetime | None:
        """Return when a recording that is uploaded now is forgotten, if it is."""
        return None if self.lasts is None else self.now() + self.lasts

    def _sign(self, record: RecordingRecord, numbers: Sequence[int]) -> tuple[PartAddress, ...]:
        return tuple(
            PartAddress(
                number=number,
                size=part_bytes(record.size, number),
                address=self.bucket.sign_part(record, number),
            )
            for number in numbers
        )

    def _settle(self, record: RecordingRecord) -> RecordingRecord:
        """Note how an upload ended that S3 does not have any more: the object decides."""
        if self.bucket.has_audio(record):
            return self._replace(record, UploadState.UPLOADED, self._find_end())
        return self._replace(record, UploadState.ABORTED, record.created_at + UPLOAD_LASTS)

    def _replace(
        self, record: RecordingRecord, state: UploadState, ends_at: datetime | None
    ) -> RecordingRecord:
        try:
            return self.table.replace_recording(
                record, record.model_copy(update={"upload": state}), ends_at
            )
        except RecordChanged:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "changed",
                "This upload is being completed or aborted in this moment; try again.",
            ) from None

    def _look(self, record: RecordingRecord) -> Recording:
        """Return a recording with the state that the bucket shows."""
        progress = self.bucket.read_progress(record)
        if progress.state is not RecordingState.UNKNOWN:
            failure = progress.failure
            return _view(
                record,
                _STATES[progress.state],
                failure and RecordingFailure(code=failure[0], message=failure[1]),
            )
        if record.upload is UploadState.UPLOADED:
            return _view(record, "gone")
        is_open = record.upload is UploadState.UPLOADING and not self._is_over(record)
        return _view(record, "uploading" if is_open else "aborted")


_STATES: Final[dict[RecordingState, RecordingStateName]] = {
    RecordingState.WAITING: "waiting",
    RecordingState.TRANSCRIBED: "transcribed",
    RecordingState.FAILED: "failed",
}


def _view(
    record: RecordingRecord, state: RecordingStateName, failure: RecordingFailure | None = None
) -> Recording:
    return Recording(
        recording_id=record.recording_id,
        title=record.title,
        file_name=record.file_name,
        size=record.size,
        content_type=record.content_type,
        created_at=record.created_at,
        state=state,
        failure=failure,
    )


def _missing(numbers: Sequence[int]) -> ProblemError:
    named = ", ".join(map(str, numbers[:_NAMED]))
    more = " and others" if len(numbers) > _NAMED else ""
    return ProblemError(
        HTTPStatus.CONFLICT,
        "parts_missing",
        f"These parts are missing, or have another size: {named}{more}.",
    )


def _over() -> ProblemError:
    return ProblemError(
        HTTPStatus.CONFLICT,
        "upload_over",
        "This upload is complete or aborted, or was not completed within a day.",
    )
