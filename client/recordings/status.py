"""The status of a recording or a session, read from the bucket, as text and as JSON.

The bucket alone shows the status: it holds a transcript, or a failure, or only the audio, which
then waits for either. `transcripts.recordings.sessions` decides when a session's transcript can be
written; this module only shows whether it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from client.recordings.bucket import Bucket
from client.recordings.chunks import announced_chunks, format_spans
from transcripts.captions.formats import NO_SPEECH, is_silent
from transcripts.documents import (
    Failure,
    GapReason,
    RecordingTranscript,
    SessionEnd,
    SessionMetadata,
    SessionTranscript,
)
from transcripts.models import Model, iso_milliseconds
from transcripts.recordings.keys import FAILURE, Recording, Session, beside
from transcripts.recordings.sessions import (
    ChunkResults,
    Combine,
    chunk_results,
    decide,
    uploaded_chunks,
)
from transcripts.recordings.status import RecordingState, decide_state, is_about
from transcripts.recordings.store import UnreadableDocument

#: The reasons of so many failed chunks are read.
_FAILURES_READ: Final = 20
#: A recording that waits for longer has used up its attempts where a worker serves the queue: they
#: take half an hour, and the jobs before it.
WAITS_LONG: Final = timedelta(hours=3)
_SILENT: Final = f"Nothing was recognised: {NO_SPEECH}."


D = TypeVar("D", bound=Model)


# --- a recording --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStatus:
    """The status of one recording."""

    key: str
    state: RecordingState
    transcript: RecordingTranscript | None = None
    failure: Failure | None = None
    #: Remarks, as sentences.
    notes: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield it as lines for people."""
        yield f"{self.key}: {self._summary()}"
        for note in self.notes:
            yield f"  {note}"

    def _summary(self) -> str:
        if self.transcript is not None:
            made = self.transcript
            when = f"{made.created_at:%Y-%m-%d %H:%M %Z}"
            return f"transcribed, {made.duration:.1f} s of {made.language}, {made.engine}, {when}"
        if self.failure is not None:
            return f"failed, {self.failure.code}: {self.failure.message}"
        if self.state is RecordingState.UNKNOWN:
            return "there is no such recording"
        return str(self.state)

    def fields(self) -> dict[str, Any]:
        """Return it as fields for programs."""
        fields: dict[str, Any] = {"key": self.key, "state": str(self.state)}
        if self.transcript is not None:
            made = self.transcript
            fields |= {
                "duration": made.duration,
                "language": made.language,
                "engine": made.engine,
                "createdAt": iso_milliseconds(made.created_at),
            }
        if self.failure is not None:
            fields |= {"code": str(self.failure.code), "message": self.failure.message}
        return fields | ({"notes": list(self.notes)} if self.notes else {})


def read_recording_status(bucket: Bucket, audio: Recording, key: str) -> RecordingStatus:
    """Return the status of the recording at `key`.

    Raises:
        ClientError, BotoCoreError: of botocore, see `transcripts.recordings.objects`.
    """
    documents = bucket.documents
    try:
        transcript = documents.get(audio.transcript_key, RecordingTranscript)
    except UnreadableDocument as error:
        note = f"Its transcript cannot be read by this client: {error}."
        return RecordingStatus(key=key, state=RecordingState.TRANSCRIBED, notes=(note,))
    audio_now = bucket.objects.head(key)
    if transcript is not None:
        made = transcript.document
        notes: tuple[str, ...] = (_SILENT,) if is_silent(made) else ()
        if made.missing is not None:
            notes += (_incomplete(made.duration, made.missing),)
        if audio_now and made.etag is not None and not is_about(made.etag, audio_now.etag):
            notes += (_OTHER_BYTES,)
        return RecordingStatus(
            key=key, state=RecordingState.TRANSCRIBED, transcript=made, notes=notes
        )
    try:
        failure = documents.get(beside(audio.transcript_key, FAILURE), Failure)
    except UnreadableDocument as error:
        note = f"Why it failed cannot be read by this client: {error}."
        return RecordingStatus(key=key, state=RecordingState.FAILED, notes=(note,))
    etag = audio_now.etag if audio_now else None
    state = decide_state(
        has_transcript=False,
        has_failed=failure is not None and is_about(failure.document.etag, etag),
        has_audio=audio_now is not None,
    )
    if failure is not None and state is RecordingState.FAILED:
        return RecordingStatus(key=key, state=state, failure=failure.document)
    notes = _long_wait(audio_now.modified) if audio_now else ()
    return RecordingStatus(key=key, state=state, notes=notes)


_OTHER_BYTES: Final = (
    "The recording was replaced after that: this is the transcript of the one before. It gets no "
    "other unless this one is deleted; under another name it gets its own."
)


def _incomplete(duration: float, missing: float) -> str:
    return (
        f"The file ends early: it announces {duration + missing:.1f} s of audio and holds "
        f"{duration:.1f} s."
    )


def _long_wait(since: datetime | None) -> tuple[str, ...]:
    """Return advice about a recording that was uploaded at `since` and still waits, if any."""
    if since is None or datetime.now(UTC) - since < WAITS_LONG:
        return ()
    note = (
        f"It has waited since {since.astimezone(UTC):%Y-%m-%d %H:%M %Z}. Where a server works off "
        "the queue, something failed that all recordings need, and the job lies among the dead "
        "letters (docs/recordings.md). Upload it again with --force to have it tried again."
    )
    return (note,)


# --- a session ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatus:
    """The status of a session. Chunks are named by their numbers."""

    session: Session
    state: RecordingState
    #: The number of announced chunks; None if it was not announced.
    expected: int | None
    transcribed: int
    #: Uploaded chunks that wait for their transcript.
    waiting: tuple[int, ...] = ()
    #: Announced chunks that are not uploaded.
    not_uploaded: tuple[int, ...] = ()
    #: Chunks that the transcript lacks or will lack, each with the reason.
    gaps: Mapping[int, str] = field(default_factory=dict)
    #: Whether there is a transcript, perhaps of fewer chunks than are uploaded now.
    readable: bool = False
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The session in the form that `--session` takes."""
        return f"{self.session.user_id}/{self.session.session_id}"

    def lines(self) -> Iterator[str]:
        """Yield it as lines for people."""
        if self.state is RecordingState.UNKNOWN:
            yield f"{self.name}: there is no such session"
            return
        count = "?" if self.expected is None else f"{self.expected}"
        yield f"{self.name}: {self.state}, {self.transcribed} of {count} chunks are transcribed"
        if self.waiting:
            yield f"  wait for their transcripts: {format_spans(self.waiting)}"
        if self.not_uploaded:
            yield f"  not uploaded: {format_spans(self.not_uploaded)}"
        for number, reason in sorted(self.gaps.items()):
            yield f"  gap: chunk {number}, {reason}"
        for note in self.notes:
            yield f"  {note}"

    def fields(self) -> dict[str, Any]:
        """Return it as fields for programs."""
        fields: dict[str, Any] = {
            "userId": self.session.user_id,
            "sessionId": self.session.session_id,
            "state": str(self.state),
            "chunkCount": self.expected,
            "transcribed": self.transcribed,
            "waiting": list(self.waiting),
            "notUploaded": list(self.not_uploaded),
            "gaps": [
                {"chunk": number, "reason": reason} for number, reason in sorted(self.gaps.items())
            ],
        }
        return fields | ({"notes": list(self.notes)} if self.notes else {})


def read_session_status(bucket: Bucket, session: Session) -> SessionStatus:
    """Return the status of a session.

    Raises:
        ClientError, BotoCoreError: of botocore, see `transcripts.recordings.objects`.
    """
    objects = bucket.objects
    notes: list[str] = []
    metadata = _document(bucket, session.metadata_key, SessionMetadata, notes)
    end = _document(bucket, session.end_key, SessionEnd, notes)
    chunks = list(objects.list(session.chunks_prefix))
    audio = uploaded_chunks(session, (each.key for each in chunks))
    known = chunk_results(session, objects.list(session.outcomes_prefix))
    seen = known.numbers | audio
    expected = set(announced_chunks(metadata, seen)) if metadata else set[int]()
    count = len(expected | seen) if metadata else None
    if metadata is None and end is not None:
        count = max(end.chunk_count or 0, len(seen))
    if not seen and metadata is None and end is None:
        return SessionStatus(
            session=session, state=RecordingState.UNKNOWN, expected=None, transcribed=0
        )
    plan = decide(known, metadata=metadata, end=end, audio=audio)
    problems: list[str] = []
    made = _document(bucket, session.transcript_key, SessionTranscript, problems)
    notes += problems
    reasons = _reasons(bucket, known)
    # A transcript that cannot be read here is taken to be current.
    current = isinstance(plan, Combine) and (bool(problems) or _holds(made, plan))
    if current and made is not None:
        reasons |= {
            gap.chunk: str(gap.reason) for gap in made.gaps if gap.reason is not GapReason.FAILED
        }
    if made is not None and not current:
        notes.append(f"There is a transcript of {len(made.chunks)} chunks; it will be updated.")
    if metadata is None and end is None:
        notes.append("Nobody has said yet how many chunks there will be: it has no metadata.json.")
    if current and made is not None and is_silent(made):
        notes.append(_SILENT)
    waiting = audio - known.numbers
    since = [each.modified for each in chunks if uploaded_chunks(session, [each.key]) & waiting]
    notes += _long_wait(min(filter(None, since), default=None))
    if known.duplicates:
        notes.append(f"{len(known.duplicates)} of its chunks have the number of another one.")
    return SessionStatus(
        session=session,
        state=RecordingState.TRANSCRIBED if current else RecordingState.WAITING,
        expected=count,
        transcribed=len(known.transcripts),
        waiting=tuple(sorted(waiting)),
        not_uploaded=() if current else tuple(sorted(expected - seen)),
        gaps=reasons,
        readable=made is not None or bool(problems),
        notes=tuple(notes),
    )


def _document(bucket: Bucket, key: str, kind: type[D], notes: list[str]) -> D | None:
    """Return a document; None if there is none. One that cannot be read adds a note."""
    try:
        found = bucket.documents.get(key, kind)
    except UnreadableDocument as error:
        notes.append(f"{key.rpartition('/')[2]} is not understood by this client: {error}.")
        return None
    return None if found is None else found.document


def _holds(made: SessionTranscript | None, plan: Combine) -> bool:
    """Return whether a transcript is made of what is planned, by the ETags that it names."""
    if made is None:
        return False
    unreadable = {gap.chunk for gap in made.gaps if gap.reason is GapReason.UNREADABLE}
    planned = {number: listed.etag for number, listed in plan.transcripts}
    placed = {each.chunk: each.etag for each in made.chunks}
    missing = {gap.chunk for gap in made.gaps} - unreadable
    return missing == {number for number, _ in plan.gaps} and placed == {
        number: etag for number, etag in planned.items() if number not in unreadable
    }


def _reasons(bucket: Bucket, known: ChunkResults) -> dict[int, str]:
    """Return why chunks have failed, by their numbers."""
    reasons = {}
    for place, (number, listed) in enumerate(sorted(known.failures.items())):
        reasons[number] = str(GapReason.FAILED)
        if place < _FAILURES_READ:
            failure = _document(bucket, listed.key, Failure, [])
            if failure is not None:
                reasons[number] = f"failed, {failure.code}: {failure.message}"
    return reasons
