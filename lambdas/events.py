"""Models for parts of events: what all have, and EventBridge's event about a new object in S3.

Source: Amazon S3 User Guide, "EventBridge event message structure".

ValueError
└── RefusedEvent    no retry can help; the message quotes nothing of the event
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

#: EventBridge's ids have 36 characters. A longer one is not an id, and would fill a log.
MAX_ID_LENGTH: Final = 128


class RefusedEvent(ValueError):
    """An event that no retry can help."""


def event_id(event: Any) -> str | None:
    """Return an event's id for logs; None if it has none or is not a JSON object."""
    found = event.get("id") if isinstance(event, dict) else None
    return found if isinstance(found, str) and len(found) <= MAX_ID_LENGTH else None


class Shape(BaseModel):
    """A model for a part of an event; its errors do not quote the event."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class _Bucket(Shape):
    name: str


class _Object(Shape):
    key: str
    #: Bytes. S3 takes objects of up to 50 TB.
    size: Annotated[int, Field(ge=0, le=2**53)] | None = None
    #: Of the object's bytes, without the quotation marks that HTTP puts around it.
    etag: str | None = None


class ObjectCreated(Shape):
    """The `detail` of an "Object Created" event."""

    bucket: _Bucket
    object: _Object
