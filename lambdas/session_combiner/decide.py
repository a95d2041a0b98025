"""Which chunk an event of S3 tells of.

ValueError
└── RefusedEvent    it is not about a chunk's transcript in our bucket; quotes nothing of it
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from lambdas.s3_events import ObjectCreated, Shape
from transcripts.recordings import Chunk, UnknownKey, transcribed_chunk


class RefusedEvent(ValueError):
    """An event is not about a chunk's transcript in our bucket."""


class _Event(Shape):
    detail: ObjectCreated


def chunk_of(event: dict[str, Any], bucket: str) -> Chunk:
    """Return the chunk whose transcript was written.

    Raises:
        RefusedEvent: there is none.
    """
    try:
        detail = _Event.model_validate(event).detail
    except ValidationError:
        raise RefusedEvent("it is not an event of S3 about an object") from None
    if detail.bucket.name != bucket:
        raise RefusedEvent("the object is in a bucket that is not ours")
    try:
        return transcribed_chunk(detail.object.key)
    except UnknownKey as error:
        raise RefusedEvent(str(error)) from None
