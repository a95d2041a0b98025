"""The keys of recordings and their transcripts in the S3 bucket.

| what                       | key                                                   |
|----------------------------|-------------------------------------------------------|
| chunk of a session         | `users/USER/audio/sessions/SESSION/chunk-001.webm`    |
| what the session consists of | `users/USER/audio/sessions/SESSION/metadata.json`   |
| transcript of a chunk      | `users/USER/transcripts/SESSION-chunk-001.json`       |
| transcript of the session  | `users/USER/transcripts/SESSION.json`                 |
| that the session has ended | `users/USER/transcripts/SESSION.ended`                |
| single file                | `uploads/PATH`                                        |
| transcript of a single file | `transcripts/uploads/PATH.json`                      |

Beside the transcript of a session or of a single file, under the same name, lie its captions
(`.srt`, `.vtt`, `.txt` in place of `.json`). A recording that cannot be transcribed has a failure
(`.failed`) in place of the transcript. A chunk has no captions of its own, because the session has
them, and because the combiner lists a session's chunks at every chunk: without captions the listing
is a quarter as long. All these keys differ, whatever the recordings are called, by their ends.

The key of an object decides what it is; whether it really holds audio shows when it is decoded.
A transcript's key follows from its audio's, so transcribing twice is the same as once, and no
transcript lies where audio is looked for.

The number of a chunk has one to nine digits, and the key keeps them as they came. So two keys
may have the same number, `chunk-1` and `chunk-001`; `transcripts.recordings.sessions` says which
counts. A session's name may not end like a chunk's (`-chunk-7`), because its transcript could be
taken for that of a chunk of another session.

ValueError
└── UnknownKey    a key is not in the layout
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from pydantic import Field, StringConstraints

from transcripts.models import Model, Timestamp

#: Single files lie below this.
UPLOADS: Final = "uploads/"
#: Single files of people who upload through the API (`access`).
PEOPLE: Final = f"{UPLOADS}people/"
#: The names of the files below a person's prefix, for rights: `*` stands for any characters.
PERSON_KEYS: Final = f"{PEOPLE}*/audio"
PERSON_OUTCOME_KEYS: Final = f"transcripts/{PEOPLE}*"
#: Events about chunks, as EventBridge compares keys: `*` stands for any characters.
CHUNK_KEYS: Final = "users/*/audio/sessions/*/chunk-*"
#: Events about outcomes of chunks, and about what sessions consist of. EventBridge refuses rules
#: with many wildcards (tests/support/event_patterns.py), so these match a little more: captions of
#: a session that is called `my-chunk-notes`, and every other file named `metadata.json`.
CHUNK_OUTCOME_EVENTS: Final = "users/*/transcripts/*-chunk-*"
METADATA_EVENTS_END: Final = "/metadata.json"

#: The same keys exactly, for rights.
CHUNK_TRANSCRIPT_KEYS: Final = "users/*/transcripts/*-chunk-*.json"
CHUNK_FAILURE_KEYS: Final = "users/*/transcripts/*-chunk-*.failed"
METADATA_KEYS: Final = "users/*/audio/sessions/*/metadata.json"

TRANSCRIPT: Final = ".json"
FAILURE: Final = ".failed"
#: Captions, by their suffix.
CAPTIONS: Final = (".srt", ".vtt", ".txt")

#: The longest key that S3 takes, bytes.
MAX_KEY_BYTES: Final = 1024

# Halves of characters stand for the bytes of a file's name that are no UTF-8; keys are UTF-8.
_NAME = r"[^/\x00-\x1f\x7f\ud800-\udfff]+"
_CHUNK = r"chunk-[0-9]{1,9}"
_CHUNK_AUDIO = re.compile(
    rf"users/(?P<user>{_NAME})/audio/sessions/(?P<session>{_NAME})/(?P<chunk>{_CHUNK})"
    r"(?P<suffix>\.[A-Za-z0-9]{1,10})"
)
_CHUNK_TRANSCRIPT = re.compile(
    rf"users/(?P<user>{_NAME})/transcripts/(?P<session>{_NAME})-(?P<chunk>{_CHUNK})"
    r"\.(?:json|failed)"
)
_METADATA = re.compile(
    rf"users/(?P<user>{_NAME})/audio/sessions/(?P<session>{_NAME})/metadata\.json"
)
_UPLOAD = re.compile(rf"{UPLOADS}(?P<path>{_NAME}(?:/{_NAME})*)")
_ENDS_LIKE_A_CHUNK = re.compile(rf"-{_CHUNK}\Z")


class UnknownKey(ValueError):
    """A key is not in the layout. The message does not quote it, because names may be private."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session: a recording that comes in chunks."""

    user_id: str
    session_id: str

    @property
    def metadata_key(self) -> str:
        """The key of the session's metadata, which has the number of its chunks."""
        return f"users/{self.user_id}/audio/sessions/{self.session_id}/metadata.json"

    @property
    def transcript_key(self) -> str:
        """The key of the session's transcript."""
        return f"users/{self.user_id}/transcripts/{self.session_id}.json"

    @property
    def end_key(self) -> str:
        """The key of the record that the session has ended."""
        return beside(self.transcript_key, ".ended")

    @property
    def chunks_prefix(self) -> str:
        """The prefix of the keys of the chunks' audio."""
        return f"users/{self.user_id}/audio/sessions/{self.session_id}/chunk-"

    @property
    def outcomes_prefix(self) -> str:
        """The prefix of the keys of the chunks' transcripts and failures.

        Keys of other sessions may have it too, such as those of `monday-chunk-talk`.
        """
        return f"users/{self.user_id}/transcripts/{self.session_id}-chunk-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A chunk of a session, e.g. with the name `chunk-001`."""

    session: Session
    name: str

    @property
    def number(self) -> int:
        """The chunk's place in the session."""
        return int(self.name.removeprefix("chunk-"))

    @property
    def transcript_key(self) -> str:
        """The key of the chunk's transcript."""
        session = self.session
        return f"users/{session.user_id}/transcripts/{session.session_id}-{self.name}.json"


#: The recording that the check of a deployment uploads (`scripts.smoke`), and its key. It is always
#: the same one, so that whoever checks may write this and nothing else.
CHECK: Final = Chunk(session=Session(user_id="smoke", session_id="check"), name="chunk-001")
CHECK_KEY: Final = f"{CHECK.session.chunks_prefix}001.ogg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A single file, by its path below `uploads/`."""

    path: str

    @property
    def transcript_key(self) -> str:
        """The key of its transcript. The suffix stays: `a.mp3` and `a.wav` may both exist."""
        return f"transcripts/{UPLOADS}{self.path}.json"

    @property
    def key(self) -> str:
        """The key of its audio."""
        return f"{UPLOADS}{self.path}"


Recording: TypeAlias = Chunk | Upload


def upload_of(person: str, recording_id: str) -> Upload:
    """Return the single file that a person uploads through the API.

    Its key has ids alone: names of files may be private, and keys are in events and logs.
    """
    return Upload(path=f"{PEOPLE.removeprefix(UPLOADS)}{person}/{recording_id}/audio")


def beside(transcript_key: str, suffix: str) -> str:
    """Return the key of a transcript's captions or failure, by its suffix."""
    return transcript_key.removesuffix(TRANSCRIPT) + suffix


def recording(key: str) -> Recording:
    """Parse the key of a recording's audio.

    Raises:
        UnknownKey: it is another key.
    """
    audio: Recording
    if found := _CHUNK_AUDIO.fullmatch(key):
        audio = _chunk(found)
    elif found := _UPLOAD.fullmatch(key):
        audio = Upload(path=found["path"])
    else:
        raise UnknownKey("the key is not that of a chunk of a session, nor of an upload")
    # The keys of its transcript and failure are longer than its own.
    for each in (key, beside(audio.transcript_key, FAILURE)):
        if len(each.encode()) > MAX_KEY_BYTES:
            raise UnknownKey(f"a key has at most {MAX_KEY_BYTES} bytes")
    return audio


def transcribed_chunk(key: str) -> Chunk:
    """Return the chunk whose transcript or failure has this key.

    Raises:
        UnknownKey: it is another key.
    """
    found = _CHUNK_TRANSCRIPT.fullmatch(key)
    if not found:
        raise UnknownKey("the key is not that of a chunk's transcript")
    return _chunk(found)


def described_session(key: str) -> Session:
    """Return the session whose `metadata.json` has this key.

    Raises:
        UnknownKey: it is another key.
    """
    found = _METADATA.fullmatch(key)
    if not found:
        raise UnknownKey("the key is not that of a session's metadata")
    return _session(found["user"], found["session"])


def named_session(user_id: str, session_id: str) -> Session:
    """Return the session of a user by its name.

    Raises:
        UnknownKey: a name is invalid.
    """
    if not (re.fullmatch(_NAME, user_id) and re.fullmatch(_NAME, session_id)):
        raise UnknownKey("a name is empty, or has a slash or a control character, or is no UTF-8")
    return _session(user_id, session_id)


def _session(user_id: str, session_id: str) -> Session:
    if _ENDS_LIKE_A_CHUNK.search(session_id):
        raise UnknownKey("a session's name may not end like that of a chunk")
    return Session(user_id=user_id, session_id=session_id)


def _chunk(found: re.Match[str]) -> Chunk:
    return Chunk(session=_session(found["user"], found["session"]), name=found["chunk"])


class TranscriptionJob(Model):
    """A message of the jobs' queue: a recording to be transcribed.

    It depends on its event alone, so a repeated event makes an equal job.
    """

    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    key: Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY_BYTES)]
    #: Of the event that asked for it, to be found in logs.
    event_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
    requested_at: Timestamp
    #: Size of the recording in bytes, where the event has it.
    size: Annotated[int, Field(ge=0)] | None = None
