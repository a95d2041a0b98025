"""The state of a recording, decided by what lies in its bucket.

| in the bucket                                     | state         |
|---------------------------------------------------|---------------|
| a transcript                                      | `transcribed` |
| no transcript, and a failure of the present bytes | `failed`      |
| the recording alone                               | `waiting`     |
| nothing                                           | `unknown`     |

A failure names the ETag of the bytes that it is about, because somebody may upload better ones
under the same key. The router imports this module at its cold start, so it needs no document.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Final

from transcripts.recordings.keys import FAILURE, beside
from transcripts.recordings.objects import Objects, ObjectTooLarge

#: A failure has some hundred bytes; of a larger object it is not known what it is about.
_MAX_FAILURE_BYTES: Final = 65_536


class RecordingState(StrEnum):
    """The progress of a recording or a session."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    TRANSCRIBED = "transcribed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the recording needs no further work: it is transcribed or has failed."""
        return self in {RecordingState.TRANSCRIBED, RecordingState.FAILED}


def decide_state(*, has_transcript: bool, has_failed: bool, has_audio: bool) -> RecordingState:
    """Return the state of a recording; `has_failed` counts failures of the present bytes only."""
    if has_transcript:
        return RecordingState.TRANSCRIBED
    if has_failed:
        return RecordingState.FAILED
    return RecordingState.WAITING if has_audio else RecordingState.UNKNOWN


def is_about(documented: str | None, etag: str | None) -> bool:
    """Return whether a failure that names the ETag `documented` is about the bytes with `etag`.

    Returns True if the present ETag is not known.
    """
    return etag is None or (documented or "").strip('"') == etag.strip('"')


def read_state(objects: Objects, transcript_key: str, etag: str | None) -> RecordingState:
    """Return the state of a recording that was uploaded.

    Args:
        objects: the bucket.
        transcript_key: where the transcript of the recording belongs.
        etag: of the recording's bytes; None if it is not known.
    """
    has_transcript = objects.exists(transcript_key)
    return decide_state(
        has_transcript=has_transcript,
        has_failed=not has_transcript and _has_failed(objects, transcript_key, etag),
        has_audio=True,
    )


def _has_failed(objects: Objects, transcript_key: str, etag: str | None) -> bool:
    try:
        failure = objects.get(beside(transcript_key, FAILURE), _MAX_FAILURE_BYTES)
    except ObjectTooLarge:
        return is_about(None, etag)
    return failure is not None and is_about(_documented_etag(failure.body), etag)


def _documented_etag(failure: bytes) -> str | None:
    """Return the ETag that a failure names.

    Parsed by hand: the models of all documents are a twentieth of the router's cold start.
    """
    try:
        found = json.loads(failure)["etag"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
