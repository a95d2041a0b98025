"""Looks recordings up in the bucket: their state and their size."""

from __future__ import annotations

from lambdas.router.request import TranscriptionRequest
from transcripts.recordings.objects import Objects
from transcripts.recordings.status import RecordingState, read_state


class BucketLookup:
    """Looks up the recordings that events ask for. Methods raise botocore's errors."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def state(self, request: TranscriptionRequest) -> RecordingState:
        """Return the state of a recording, for the object version that the event names."""
        return read_state(self._objects, request.transcript_key, request.etag)

    def size(self, request: TranscriptionRequest) -> int | None:
        """Return a recording's size in bytes; None if it is not there."""
        version = self._objects.head(request.job.key)
        return None if version is None else version.size
