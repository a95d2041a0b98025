"""The errors of the server as callers see them: `application/problem+json` (RFC 9457).

Problem                 status, code, message, retryable, and Retry-After
├── Defect              500 internal: an unexpected exception
├── Unauthorized        401 unauthorized
├── Forbidden           403 forbidden: a foreign web page
├── InvalidRequest      400 invalid_request
├── RefusedAddress      400 refused_address: a URL that must not be fetched
├── RefusedPlace        403 refused_place: S3 beyond the configured buckets, or not a recording
├── Conflict            409 conflict: another transcript is being made for the same place
├── Unprocessable       422 and a `FailureCode`: no retry helps
├── NotOffered          422 not_offered: an option that this server does not have
├── FetchFailed         502 fetch_failed: the other side of a URL does not deliver
├── StorageFailed       503 storage_failed: the bucket cannot be reached, or refuses
├── UploadStalled       408 upload_stalled: a recording arrives too slowly, or stops
├── RequestStalled      408 request_stalled: a request's head, or its small body, is not complete
├── NoSpace             507 no_space: the disk, or the transfers' part of it, is full
├── Busy                503 busy: the queue is full, or too many transfers or requests are in work
├── NotReady            503 not_ready: the model is being loaded
├── Stopping            503 stopping: the server is shutting down
└── EngineFailure       503 engine_failed: the model or its process failed, or memory ran out
    └── EngineStalled   the same, after it gave no sign of life for minutes
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Annotated, ClassVar

from pydantic import Field

from speech.transcribers.errors import (
    BadRecording,
    OptionUnavailable,
    Stopped,
    TranscriberError,
    TranscriberStalled,
)
from transcripts.documents import FailureCode
from transcripts.models import Model

MEDIA_TYPE = "application/problem+json"


class Cause(Enum):
    """What made an attempt at a recording fail."""

    UNKNOWN = auto()
    #: The recording itself: others succeed, or at least do not fail.
    RECORDING = auto()
    #: What all recordings need: the next one is likely to fail, too.
    OUTAGE = auto()
    #: Other recordings fail as well, but too few, or this one failed before, while they succeeded.
    EITHER = auto()


class ProblemDocument(Model):
    """Why a request failed."""

    status: Annotated[int, Field(description="the HTTP status again")]
    code: Annotated[str, Field(description="for programs; a failure code where no retry helps")]
    message: Annotated[str, Field(description="for people; quotes nothing of the recording")]
    retryable: Annotated[bool, Field(description="whether the same request may succeed later")]


class Problem(Exception):
    """A request has failed."""

    status = 500
    code = "internal"
    retryable = True

    #: Whether it counts as a failure of the recording, or of what all recordings need.
    is_failure: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        #: Seconds.
        self.retry_after = retry_after
        #: What caused it, for an attempt at a recording in S3.
        self.cause = Cause.UNKNOWN
        #: Of the bytes that failed, where they are known.
        self.etag: str | None = None

    @property
    def document(self) -> ProblemDocument:
        """The body of the answer."""
        return ProblemDocument(
            status=self.status, code=self.code, message=str(self), retryable=self.retryable
        )

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the answer."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class Defect(Problem):
    """An unexpected exception was raised."""

    is_failure = True


class Unauthorized(Problem):
    """The caller does not know the secret."""

    status, code, retryable = 401, "unauthorized", False

    @property
    def headers(self) -> dict[str, str]:
        """The challenge for the secret."""
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """A foreign web page may be behind the request."""

    status, code, retryable = 403, "forbidden", False


class InvalidRequest(Problem):
    """The request is malformed."""

    status, code, retryable = 400, "invalid_request", False


class RefusedAddress(Problem):
    """A URL leads to an address from which the server must not fetch."""

    status, code, retryable = 400, "refused_address", False


class RefusedPlace(Problem):
    """A key or bucket in S3 is not one that this server reads or writes."""

    status, code, retryable = 403, "refused_place", False


class Conflict(Problem):
    """Another transcript is being made for the same place."""

    status, code = 409, "conflict"


class Unprocessable(Problem):
    """No transcript can be made of the recording, now or later."""

    status, retryable = 422, False

    def __init__(self, failure: FailureCode, message: str) -> None:
        super().__init__(message)
        self.code = failure.value
        self.failure = failure


class NotOffered(Problem):
    """An option that this server does not have."""

    status, code, retryable = 422, "not_offered", False


class FetchFailed(Problem):
    """The other side of a URL does not deliver."""

    status, code = 502, "fetch_failed"


class StorageFailed(Problem):
    """The recordings' bucket cannot be reached, or refuses."""

    status, code, is_failure = 503, "storage_failed", True


class UploadStalled(Problem):
    """A recording arrives too slowly, or has stopped."""

    status, code = 408, "upload_stalled"


class RequestStalled(Problem):
    """A request's head, or the body of one that uploads nothing, was not complete in time."""

    status, code = 408, "request_stalled"


class NoSpace(Problem):
    """The disk, or the transfers' part of it, is full."""

    status, code, is_failure = 507, "no_space", True


class Busy(Problem):
    """The queue is full, or too many transfers or requests are in work."""

    status, code = 503, "busy"


class NotReady(Problem):
    """The model is being loaded."""

    status, code = 503, "not_ready"


class Stopping(Problem):
    """The server is shutting down."""

    status, code = 503, "stopping"


class EngineFailure(Problem):
    """The model or its process failed."""

    status, code, is_failure = 503, "engine_failed", True


class EngineStalled(EngineFailure):
    """The model's process made no progress for so long that it was stopped."""


def to_problem(error: TranscriberError | Stopped) -> Problem:
    """Convert a transcriber's error into a problem for callers."""
    if isinstance(error, BadRecording):
        return Unprocessable(error.code, str(error))
    if isinstance(error, OptionUnavailable):
        return NotOffered(str(error))
    if isinstance(error, Stopped):
        return Stopping("The job was called off.", retry_after=5)
    kind = EngineStalled if isinstance(error, TranscriberStalled) else EngineFailure
    return kind(f"The recording was not transcribed: {error}.", retry_after=5)
