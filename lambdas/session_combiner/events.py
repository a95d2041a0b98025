"""Parse an event into the session that it is about, and what has happened to it.

Three kinds of events make the combiner look at a session:

* S3 has a new object, a chunk's transcript or its failure;
* S3 has a new `metadata.json`, which may come after the last chunk;
* an application notifies us that the session has ended (`transcripts.functions.SESSION_ENDED`),
  with the detail

      {"bucket": "NAME", "userId": "...", "sessionId": "...", "chunkCount": 12}

  `chunkCount` may be left out. The bucket is a plain name, so that the router's rule, which matches
  details with `s3Location` or `s3_bucket`, does not match this event.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pydantic import Field, ValidationError

from foundation.invalid import summarise
from lambdas.events import ObjectCreated, RefusedEvent, Shape
from transcripts.documents import MAX_CHUNKS, SessionEnd
from transcripts.functions import SESSION_ENDED
from transcripts.models import Moment
from transcripts.recordings.keys import (
    METADATA_EVENTS_END,
    Session,
    UnknownKey,
    described_session,
    named_session,
    transcribed_chunk,
)


class Subject(Enum):
    """The part of a session that an event is about."""

    CHUNK = "chunk"
    METADATA = "metadata"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """Something has happened to a session."""

    session: Session
    subject: Subject
    #: Of the chunk, for logs.
    chunk: str | None = None
    #: The end of the session, as it is to be stored.
    end: SessionEnd | None = None


class _Ended(Shape):
    bucket: str
    user_id: Annotated[str, Field(alias="userId", max_length=1024)]
    session_id: Annotated[str, Field(alias="sessionId", max_length=1024)]
    chunk_count: Annotated[int | None, Field(alias="chunkCount", ge=1, le=MAX_CHUNKS)] = None


class _EndedEvent(Shape):
    time: Moment
    detail: _Ended


class _CreatedEvent(Shape):
    detail: ObjectCreated


def parse_event(event: dict[str, Any], bucket: str) -> SessionEvent | None:
    """Return the session's event; None if the event is about an object outside all sessions.

    The rule for objects matches some of these (`transcripts.recordings.keys.CHUNK_OUTCOME_EVENTS`).

    Raises:
        RefusedEvent: it has no known shape, or is about no session in our bucket.
    """
    try:
        if isinstance(event, dict) and event.get("detail-type") == SESSION_ENDED:
            return _ended(_EndedEvent.model_validate(event), bucket)
        return _created(_CreatedEvent.model_validate(event), bucket)
    except ValidationError as error:
        raise RefusedEvent(summarise(error, whole="event")) from None
    except UnknownKey as error:
        raise RefusedEvent(str(error)) from None


def _ended(event: _EndedEvent, bucket: str) -> SessionEvent:
    detail = event.detail
    _ours(detail.bucket, bucket)
    return SessionEvent(
        session=named_session(detail.user_id, detail.session_id),
        subject=Subject.END,
        # Of the event alone, so one that comes twice says the same.
        end=SessionEnd(chunk_count=detail.chunk_count, ended_at=event.time),
    )


def _created(event: _CreatedEvent, bucket: str) -> SessionEvent | None:
    detail = event.detail
    _ours(detail.bucket.name, bucket)
    key = detail.object.key
    try:
        if key.endswith(METADATA_EVENTS_END):
            return SessionEvent(session=described_session(key), subject=Subject.METADATA)
        chunk = transcribed_chunk(key)
    except UnknownKey:
        return None
    return SessionEvent(session=chunk.session, subject=Subject.CHUNK, chunk=chunk.name)


def _ours(named: str, bucket: str) -> None:
    if named != bucket:
        raise RefusedEvent("it is about a bucket that is not ours")
