"""Events about recordings, as EventBridge hands them over."""

from __future__ import annotations

from typing import Any

BUCKET = "recordings-of-ours"
KEY = "uploads/the secret of the meeting.mp3"
EVENT_ID = "17793124-05d4-b198-2fde-7ededc63b103"


def event(detail: Any, source: str = "aws.s3") -> dict[str, Any]:
    """Return an event with this detail."""
    return {
        "version": "0",
        "id": EVENT_ID,
        "detail-type": "Object Created",
        "source": source,
        "time": "2026-11-20T17:29:03Z",
        "detail": detail,
    }


def created(key: str = KEY, bucket: str = BUCKET, size: int = 5) -> dict[str, Any]:
    """Return S3's own event about a new object."""
    return event(
        {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": size, "etag": "b1", "sequencer": "00617F08299329D189"},
            "reason": "PutObject",
        }
    )


def located(key: str = KEY, bucket: str = BUCKET, **more: Any) -> dict[str, Any]:
    """Return an application's question in the nested shape."""
    return event({"s3Location": {"bucket": bucket, "key": key}, **more}, "cloudscribe")


def flat(key: str = KEY, bucket: str = BUCKET, **more: Any) -> dict[str, Any]:
    """Return an application's question in the flat shape."""
    return event({"s3_bucket": bucket, "s3_key": key, "userId": "ann", **more}, "cloudscribe")
