"""Parse an event into the transcription that it asks for.

Events come in three shapes. S3 notifies of a new object:

    {"id", "time", "detail": {"bucket": {"name"}, "object": {"key", "size", "etag"}}}

and applications ask for a transcript with a `detail` of either of these:

    {"s3Location": {"bucket", "key"}}        {"s3_bucket", "s3_key"}

An application may add `"mode": "batch"`: then the recording waits in the queue, where it costs
least. The default is `"mode": "now"`.

ValueError
└── RefusedEvent         no retry can help; the message quotes nothing of the event
    ├── UnknownEvent     it has none of the shapes
    ├── ForeignBucket    its object is in a bucket that is not ours
    └── NotARecording    its object is not where recordings are
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from foundation.invalid import summarise
from lambdas.events import ObjectCreated, RefusedEvent, Shape
from transcripts.models import Moment
from transcripts.recordings.keys import TranscriptionJob, UnknownKey, recording


class UnknownEvent(RefusedEvent):
    """An event has none of the shapes."""


class ForeignBucket(RefusedEvent):
    """An event's object is in a bucket that is not ours."""


class NotARecording(RefusedEvent):
    """An event's object is not where recordings are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRequest:
    """A recording to be transcribed."""

    #: As it goes onto the queue, should it have to.
    job: TranscriptionJob
    #: Where its transcript is to lie.
    transcript_key: str
    #: Of the recording's bytes, where the event has it.
    etag: str | None = None
    #: Whether it may wait until it is cheap.
    batch: bool = False


Mode = Literal["now", "batch"]


class _Location(Shape):
    bucket: str
    key: str


class _Located(Shape):
    location: Annotated[_Location, Field(alias="s3Location")]
    mode: Mode = "now"


class _Flat(Shape):
    bucket: Annotated[str, Field(alias="s3_bucket")]
    key: Annotated[str, Field(alias="s3_key")]
    mode: Mode = "now"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    bucket: str
    key: str
    size: int | None = None
    etag: str | None = None
    batch: bool = False


class _Event(Shape):
    id: str
    time: Moment
    detail: ObjectCreated | _Located | _Flat

    def place(self) -> _Place:
        match self.detail:
            case ObjectCreated(bucket=bucket, object=created):
                return _Place(
                    bucket=bucket.name, key=created.key, size=created.size, etag=created.etag
                )
            case _Located(location=location, mode=mode):
                return _Place(bucket=location.bucket, key=location.key, batch=mode == "batch")
            case _Flat(bucket=bucket, key=key, mode=mode):
                return _Place(bucket=bucket, key=key, batch=mode == "batch")


def parse_request(event: dict[str, Any], bucket: str) -> TranscriptionRequest | None:
    """Return the request for a transcription in an event; None if the event is about a folder.

    S3 has no folders, but consoles mark them by empty objects whose key ends in a slash.

    Raises:
        RefusedEvent: no retry can help the event.
    """
    try:
        known = _Event.model_validate(event)
    except ValidationError as error:
        raise UnknownEvent(summarise(error, whole="event")) from None
    place = known.place()
    if place.bucket != bucket:
        raise ForeignBucket("the object is in a bucket that is not ours")
    if place.key.endswith("/"):
        return None
    try:
        what = recording(place.key)
    except UnknownKey as error:
        raise NotARecording(str(error)) from None
    try:
        job = TranscriptionJob(
            bucket=place.bucket,
            key=place.key,
            size=place.size,
            event_id=known.id,
            requested_at=known.time,
        )
    except ValidationError as error:
        raise UnknownEvent(summarise(error, whole="event")) from None
    return TranscriptionRequest(
        job=job, transcript_key=what.transcript_key, etag=place.etag, batch=place.batch
    )
