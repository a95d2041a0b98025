"""The recording or session that a command is about: its status, and its transcript."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from client.errors import NoStorage, NoSuchRecording, NoTranscript, NotYet, UsageError
from client.formats import TranscriptFormat
from client.recordings.bucket import Bucket, explained
from client.recordings.fetching import fetch
from client.recordings.status import (
    RecordingStatus,
    SessionStatus,
    read_recording_status,
    read_session_status,
)
from transcripts.documents import RecordingTranscript, SessionTranscript
from transcripts.recordings.keys import UPLOADS, Session, UnknownKey, named_session, recording
from transcripts.recordings.status import RecordingState

#: Between two requests to the bucket while a command waits, seconds: at first and at most.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 10.0

Status: TypeAlias = RecordingStatus | SessionStatus


@dataclass(frozen=True, slots=True)
class Target:
    """A recording by its key, or a session."""

    of: str | Session

    def read_status(self, bucket: Bucket) -> Status:
        """Read its status from the bucket."""
        if isinstance(self.of, Session):
            return read_session_status(bucket, self.of)
        return read_recording_status(bucket, recording(self.of), self.of)

    def fetch(self, bucket: Bucket, wanted: TranscriptFormat) -> bytes | None:
        """Return its transcript in a format; None if there is none."""
        if isinstance(self.of, Session):
            return fetch(bucket, self.of.transcript_key, SessionTranscript, wanted)
        return fetch(bucket, recording(self.of).transcript_key, RecordingTranscript, wanted)


def target(key: str | None, session: str | None) -> Target:
    """Return the target that a command names: a key, an uploaded file's name, or a session.

    Raises:
        UsageError: it is none of these, or both.
    """
    if (key is None) == (session is None):
        raise UsageError("Give either a recording, or --session USER/SESSION.")
    if session is not None:
        return Target(session_of(None, session))
    given = key or ""
    path = Path(given)
    for candidate in (given, f"{UPLOADS}{path.name if path.is_file() else given}"):
        try:
            recording(candidate)
        except UnknownKey:
            continue
        return Target(candidate)
    raise UsageError(f"{given!r} is neither the key of a recording nor a file that was uploaded.")


def session_of(user: str | None, name: str) -> Session:
    """Return a session by its user and name, or by both in one as `USER/SESSION`.

    Raises:
        UsageError: the name is invalid.
    """
    if user is None:
        user, slash, name = name.partition("/")
        if not slash:
            raise UsageError("A session is named with its user: USER/SESSION.")
    try:
        return named_session(user, name)
    except UnknownKey as error:
        raise UsageError(f"{user}/{name} names no session: {error}") from error


def poll_status(
    bucket: Bucket,
    of: Target,
    *,
    on_lost: Callable[[NoStorage], object],
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Status]:
    """Poll the status until it is final; yield every answer.

    An unreachable bucket is retried; `on_lost` is called once per outage.

    Raises:
        AccessRefused: the rights have changed meanwhile.
        NoStorage: the bucket could not be reached the first time.
    """
    pause = _FIRST_PAUSE
    seen: Status | None = None
    lost = False
    while True:
        try:
            with explained(bucket.name):
                seen = of.read_status(bucket)
            lost = False
        except NoStorage as error:
            if seen is None:
                raise
            if not lost:
                on_lost(error)
            lost = True
        else:
            yield seen
            if seen.state is not RecordingState.WAITING:
                return
        sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 1.5)


def last(statuses: Iterator[Status]) -> Status:
    """Return the last of several statuses."""
    (found,) = deque(statuses, maxlen=1)
    return found


def require_transcript(seen: Status) -> None:
    """Check that there is a transcript.

    Raises:
        NoTranscript, NotYet, NoSuchRecording: why there is none.
    """
    if seen.state is RecordingState.TRANSCRIBED:
        return
    lines = seen.lines()
    if seen.state is RecordingState.FAILED:
        raise NoTranscript(*lines, "Another recording may be uploaded in its place.")
    if seen.state is RecordingState.UNKNOWN:
        raise NoSuchRecording(*lines)
    raise NotYet(*lines, "There is no transcript yet; --wait waits for it.")
