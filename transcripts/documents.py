"""The JSON documents about recordings and conversations: transcripts, failures. Version 1.

Times are seconds from the start of the recording, or of the session. A reader refuses a version
that it does not know, and ignores fields that it does not know.

| document                 | written by              | how often                               |
|--------------------------|-------------------------|-----------------------------------------|
| `RecordingTranscript`    | who transcribes it      | once; never rewritten                   |
| `Failure`                | who finds the defect    | once, in place of the transcript        |
| `SessionMetadata`        | who records a session   | as often as they like                   |
| `SessionEnd`             | the session combiner    | once, at the event of the end           |
| `SessionTranscript`      | the session combiner    | once, and again when a chunk comes late |
| `ConversationTranscript` | `client transcript`     | at each reading; it is not kept         |

All but the last lie in the bucket beside recordings; `transcripts.recordings.keys` says where.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from transcripts.models import (
    Channel,
    ConversationId,
    Language,
    Model,
    Seconds,
    SpeakerLabel,
    Timestamp,
    Utterance,
    Word,
)

#: The most chunks of a session.
MAX_CHUNKS: Final = 100_000


class Document(Model):
    """Base of all stored documents: it has a version and ignores unknown fields."""

    model_config = ConfigDict(extra="ignore")

    version: Literal[1] = 1


class Segment(Model):
    """A stretch of speech, as the engine cut it; at most a few sentences."""

    start_time: Seconds
    end_time: Seconds
    text: Annotated[str, StringConstraints(min_length=1)]
    words: tuple[Word, ...] = ()
    speaker_label: SpeakerLabel | None = None
    channel: Channel | None = None


class AudioTrack(Model):
    """Which audio track of a recording was transcribed; most have one."""

    #: Counted from 1, in the file's order.
    number: Annotated[int, Field(ge=1)]
    count: Annotated[int, Field(ge=1)]


class RecordingTranscript(Document):
    """What was said in one recording."""

    kind: Literal["recording"] = "recording"
    #: Of the recording.
    key: str
    #: The ETag in S3 of the transcribed bytes, because others may be uploaded under the key.
    etag: str | None = None
    #: The duration of the decoded audio, which the header may announce differently.
    duration: Seconds
    language: Language
    #: The engine that recognised it, e.g. `whisperx large-v3`.
    engine: str
    #: None in transcripts of earlier versions.
    audio_track: AudioTrack | None = None
    #: Audio that the header announces and the recording lacks, e.g. after a broken upload.
    missing: Seconds | None = None
    created_at: Timestamp
    segments: tuple[Segment, ...] = ()

    @property
    def text(self) -> str:
        """The whole text, a segment to a line."""
        return "\n".join(segment.text for segment in self.segments)


class FailureCode(StrEnum):
    """Why a recording has no transcript, and is not retried."""

    EMPTY = "empty"
    NOT_AUDIO = "not_audio"
    CORRUPT_AUDIO = "corrupt_audio"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    UNSUPPORTED_LANGUAGE = "unsupported_language"
    GONE = "gone"
    #: Every attempt failed while others succeeded. A later version of the engine may do better.
    KEEPS_FAILING = "keeps_failing"


class Failure(Document):
    """The document in place of a transcript that cannot be made, with the reason."""

    kind: Literal["failure"] = "failure"
    key: str
    etag: str | None = None
    code: FailureCode
    #: For people: what is wrong, and what to do. Quotes nothing of the audio.
    message: str
    created_at: Timestamp


class SessionMetadata(Model):
    """The number of a session's chunks: `metadata.json`, written by the program that records it."""

    model_config = ConfigDict(extra="ignore")

    chunk_count: Annotated[int, Field(ge=1, le=MAX_CHUNKS)]
    #: The number of the first chunk. By default 0 if there is such a chunk, else 1.
    first_chunk: Annotated[int, Field(ge=0, le=1)] | None = None


class SessionEnd(Document):
    """The record that a session has ended: no further chunk will be uploaded."""

    kind: Literal["session_end"] = "session_end"
    #: How many chunks there should be, if whoever ended it knew.
    chunk_count: Annotated[int, Field(ge=1, le=MAX_CHUNKS)] | None = None
    ended_at: Timestamp


class SessionSegment(Segment):
    """A segment on the session's timeline, and the chunk that it comes from.

    A `speakerLabel` distinguishes people within a chunk only: each chunk is recognised by itself.
    """

    chunk: Annotated[int, Field(ge=0)]


class GapReason(StrEnum):
    """Why a session's transcript lacks a chunk."""

    #: Nobody uploaded it.
    MISSING = "missing"
    #: It cannot be transcribed; why is in its failure.
    FAILED = "failed"
    #: Its transcript is no document of a known version.
    UNREADABLE = "unreadable"


class Gap(Model):
    """A chunk that is not in a session's transcript. Its length is not known."""

    chunk: Annotated[int, Field(ge=0)]
    reason: GapReason
    #: Its position on the session's timeline, which has no room for it.
    at: Seconds


class PlacedChunk(Model):
    """The position of a chunk on the session's timeline."""

    chunk: Annotated[int, Field(ge=0)]
    start_time: Seconds
    duration: Seconds
    #: The ETag of its transcript, by which a later combination detects a change.
    etag: str | None = None


class SessionTranscript(Document):
    """What was said in all chunks of a session, on one timeline."""

    kind: Literal["session"] = "session"
    user_id: str
    session_id: str
    duration: Seconds
    language: Language
    created_at: Timestamp
    #: Whether every chunk that was announced is in it.
    complete: bool
    #: Whether the words were left out, because with them the document would be too large. They
    #: are in the chunks' transcripts.
    without_words: bool = False
    chunks: tuple[PlacedChunk, ...]
    gaps: tuple[Gap, ...] = ()
    segments: tuple[SessionSegment, ...] = ()


class ConversationTranscript(Document):
    """The stored utterances of a live conversation, or the last of them, when it was read."""

    kind: Literal["conversation"] = "conversation"
    conversation_id: ConversationId
    #: The time of the reading; there may be later utterances.
    created_at: Timestamp
    #: Earlier utterances are left out; None: none are.
    since: Timestamp | None = None
    #: In the order of time. This is the last field, so that a document can be streamed.
    utterances: tuple[Utterance, ...] = ()
