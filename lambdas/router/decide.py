"""What is to be done about an event: a job for the queue, or nothing.

Events come in three shapes. S3 tells of a new object:

    {"id", "time", "detail": {"bucket": {"name"}, "object": {"key", "size"}}}

and applications ask for a transcript with a `detail` of either of these:

    {"s3Location": {"bucket", "key"}}        {"s3_bucket", "s3_key"}

ValueError
└── RefusedEvent         nothing can be done about it; the message quotes nothing of it
    ├── UnknownEvent     it has none of the shapes
    ├── ForeignBucket    its object is in a bucket that is not ours
    └── NotARecording    its object is not where recordings are
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field, ValidationError

from lambdas.s3_events import ObjectCreated, Shape
from transcripts.recordings import TranscriptionJob, UnknownKey, recording


class RefusedEvent(ValueError):
    """Nothing can be done about an event."""


class UnknownEvent(RefusedEvent):
    """An event has none of the shapes."""


class ForeignBucket(RefusedEvent):
    """An event's object is in a bucket that is not ours."""


class NotARecording(RefusedEvent):
    """An event's object is not where recordings are."""


class _Location(Shape):
    bucket: str
    key: str


class _Located(Shape):
    location: Annotated[_Location, Field(alias="s3Location")]


class _Flat(Shape):
    bucket: Annotated[str, Field(alias="s3_bucket")]
    key: Annotated[str, Field(alias="s3_key")]


class _Event(Shape):
    id: str
    time: AwareDatetime
    detail: ObjectCreated | _Located | _Flat

    def place(self) -> tuple[str, str, int | None]:
        """Return bucket, key and, where it is told, the size in bytes."""
        match self.detail:
            case ObjectCreated(bucket=bucket, object=created):
                return bucket.name, created.key, created.size
            case _Located(location=location):
                return location.bucket, location.key, None
            case _Flat(bucket=bucket, key=key):
                return bucket, key, None


def decide(event: dict[str, Any], bucket: str) -> TranscriptionJob | None:
    """Return the job that an event asks for; None if it is about a folder.

    S3 knows no folders, but consoles mark them by empty objects whose key ends in a slash.

    Raises:
        RefusedEvent: nothing can be done about the event.
    """
    try:
        known = _Event.model_validate(event)
    except ValidationError as error:
        raise UnknownEvent(_places(error)) from None
    named, key, size = known.place()
    if named != bucket:
        raise ForeignBucket("the object is in a bucket that is not ours")
    if key.endswith("/"):
        return None
    try:
        recording(key)
    except UnknownKey as error:
        raise NotARecording(str(error)) from None
    try:
        return TranscriptionJob(
            bucket=named, key=key, size=size, event_id=known.id, requested_at=known.time
        )
    except ValidationError as error:
        raise UnknownEvent(_places(error)) from None


def _places(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in problems[:5])
