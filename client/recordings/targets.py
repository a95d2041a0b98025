"""What a command is about: a recording or a session, what has become of it, and its transcript."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from client.cli.output import printable, safe_json
from client.cli.report import Report
from client.errors import NoStorage, NoSuchRecording, NoTranscript, NotYet, UsageError
from client.recordings.bucket import Bucket, explained
from client.recordings.chunks import spans
from client.recordings.fetching import Format, deliver, fetch
from client.recordings.status import (
    RecordingStatus,
    SessionStatus,
    State,
    look_at_recording,
    look_at_session,
)
from transcripts.documents import RecordingTranscript, SessionTranscript
from transcripts.recordings.keys import UPLOADS, Session, UnknownKey, named_session, recording
from transcripts.recordings.store import UnreadableDocument

#: Between two looks at the bucket while it is waited, seconds: at first and at most.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 10.0

Status: TypeAlias = RecordingStatus | SessionStatus


@dataclass(frozen=True, slots=True)
class Target:
    """A recording by its key, or a session."""

    of: str | Session

    def look(self, bucket: Bucket) -> Status:
        """Return what has become of it."""
        if isinstance(self.of, Session):
            return look_at_session(bucket, self.of)
        return look_at_recording(bucket, recording(self.of), self.of)

    def fetch(self, bucket: Bucket, wanted: Format) -> bytes | None:
        """Return its transcript in a format; None if there is none."""
        if isinstance(self.of, Session):
            return fetch(bucket, self.of.transcript_key, SessionTranscript, wanted)
        return fetch(bucket, recording(self.of).transcript_key, RecordingTranscript, wanted)


def target(key: str | None, session: str | None) -> Target:
    """Return what is meant: a key, a file that was uploaded by its name, or a session.

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
        UsageError: nothing can have such a name.
    """
    if user is None:
        user, slash, name = name.partition("/")
        if not slash:
            raise UsageError("A session is named with its user: USER/SESSION.")
    try:
        return named_session(user, name)
    except UnknownKey as error:
        raise UsageError(f"{user}/{name} names no session: {error}") from error


def looks(
    bucket: Bucket,
    report: Report,
    of: Target,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Status]:
    """Look at something until it is clear what becomes of it; a bucket that is lost comes again.

    Raises:
        AccessRefused: what one may do has changed meanwhile.
        NoStorage: it could not be reached the first time.
    """
    pause = _FIRST_PAUSE
    seen: Status | None = None
    lost = False
    while True:
        try:
            with explained(bucket.name):
                seen = of.look(bucket)
            lost = False
        except NoStorage as error:
            if seen is None:
                raise
            if not lost:
                report.tell(f"{error} Trying again.")
            lost = True
        else:
            yield seen
            if seen.state is not State.WAITING:
                return
        sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 1.5)


def last(looked: Iterator[Status]) -> Status:
    """Return how it came out in the end."""
    (found,) = deque(looked, maxlen=1)
    return found


def check(seen: Status) -> None:
    """Do nothing if there is a transcript.

    Raises:
        NoTranscript, NotYet, NoSuchRecording: why there is none.
    """
    if seen.state is State.TRANSCRIBED:
        return
    told = "\n".join(map(printable, seen.lines()))
    if seen.state is State.FAILED:
        raise NoTranscript(f"{told}\nAnother recording may be uploaded in its place.")
    if seen.state is State.UNKNOWN:
        raise NoSuchRecording(told)
    raise NotYet(f"{told}\nThere is no transcript yet; --wait waits for it.")


def hand_over(
    bucket: Bucket,
    report: Report,
    of: Target,
    seen: Status,
    *,
    wanted: Format,
    output: Path | None = None,
) -> None:
    """Deliver a transcript to a file or stdout, and tell what is wrong with it.

    Raises:
        NoTranscript, NotYet: there is none that can be read.
        OutputFailed: it cannot be written.
    """
    try:
        content = of.fetch(bucket, wanted)
    except UnreadableDocument as error:
        raise NoTranscript(f"The transcript cannot be read by this client: {error}.") from error
    if content is None:
        raise NotYet("The transcript was deleted in this moment.")
    if wanted is Format.JSON:  # stored without an end of its line
        content = (content if output else _printable_json(content)) + b"\n"
    deliver((content,), output)
    for note in seen.notes:
        report.tell(note)
    if isinstance(seen, SessionStatus) and seen.gaps:
        report.tell(f"Not in it: chunk {spans(seen.gaps)}; `status` says why.")


def _printable_json(document: bytes) -> bytes:
    """Return a document that means the same, for a terminal; names in it are somebody else's."""
    return safe_json(document.decode(errors="backslashreplace")).encode()
