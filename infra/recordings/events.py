"""The EventBridge patterns of events about recordings."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3

from transcripts.functions import APPLICATION_SOURCE, SESSION_ENDED
from transcripts.recordings.keys import (
    CHUNK_KEYS,
    CHUNK_OUTCOME_EVENTS,
    METADATA_EVENTS_END,
    UPLOADS,
)

_AUDIO: Final[list[dict[str, str]]] = [{"wildcard": CHUNK_KEYS}, {"prefix": UPLOADS}]
_SESSION_PARTS: Final[list[dict[str, str]]] = [
    {"wildcard": CHUNK_OUTCOME_EVENTS},
    {"suffix": METADATA_EVENTS_END},
]


def audio_created(bucket: s3.IBucket) -> events.EventPattern:
    """Match a new recording in the bucket."""
    return _created(bucket, _AUDIO)


def session_part_created(bucket: s3.IBucket) -> events.EventPattern:
    """Match the outcome of a session's chunk, and a session's metadata."""
    return _created(bucket, _SESSION_PARTS)


def transcript_requested(bucket: s3.IBucket) -> events.EventPattern:
    """Match an application's request about our bucket; the bus also carries those about others."""
    name = [bucket.bucket_name]
    return events.EventPattern(
        source=[APPLICATION_SOURCE],
        detail={"$or": [{"s3Location": {"bucket": name}}, {"s3_bucket": name}]},
    )


def session_ended(bucket: s3.IBucket) -> events.EventPattern:
    """Match an application's report that a session in our bucket has ended."""
    return events.EventPattern(
        source=[APPLICATION_SOURCE],
        detail_type=[SESSION_ENDED],
        detail={"bucket": [bucket.bucket_name]},
    )


def _created(bucket: s3.IBucket, keys: list[dict[str, str]]) -> events.EventPattern:
    return events.EventPattern(
        source=["aws.s3"],
        # S3 also emits "Object Tags Added", "Object Deleted" and others.
        detail_type=["Object Created"],
        detail={"bucket": {"name": [bucket.bucket_name]}, "object": {"key": keys}},
    )
