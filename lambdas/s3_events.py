"""EventBridge's event about a new object in S3, as far as functions look at it.

Source: Amazon S3 User Guide, "EventBridge event message structure".
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """A part of an event; errors do not quote it."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Bucket(Shape):
    """Where the object is."""

    name: str


class Object(Shape):
    """The object; its size is in bytes."""

    key: str
    #: S3 takes objects of up to 50 TB.
    size: Annotated[int, Field(ge=0, le=2**53)] | None = None
    #: Of its bytes; without the quotation marks that HTTP puts around it.
    etag: str | None = None


class ObjectCreated(Shape):
    """The `detail` of an "Object Created" event."""

    bucket: Bucket
    object: Object
