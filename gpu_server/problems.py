"""What goes wrong, as callers see it: `application/problem+json` (RFC 9457).

Problem                 status, code, message, retryable, and when to come again
├── Defect              500 internal: what nobody thought of
├── Unauthorized        401 unauthorized
├── Forbidden           403 forbidden: a foreign web page
├── InvalidRequest      400 invalid_request
├── RefusedAddress      400 refused_address: a URL that must not be fetched
├── RefusedPlace        403 refused_place: S3 beyond the configured buckets, or not a recording
├── Conflict            409 conflict: another transcript is being made for the same place
├── Unprocessable       422 and a `FailureCode`: no retry mends it
├── NotOffered          422 not_offered: an option that this server does not have
├── FetchFailed         502 fetch_failed: the other side of a URL does not deliver
├── StorageFailed       503 storage_failed: the bucket cannot be reached, or refuses
├── UploadStalled       408 upload_stalled: a recording comes too slowly, or no more
├── RequestStalled      408 request_stalled: a request's head, or its small body, is not complete
├── NoSpace             507 no_space: the disk is full, or what transfers may have of it
├── Busy                503 busy: the queue is full, or there are too many transfers or requests
├── NotReady            503 not_ready: the model is being loaded
├── Stopping            503 stopping: the server is being shut down
└── EngineFailure       503 engine_failed: the model or its process failed, or memory ran out
    └── EngineStalled   the same, after it gave no sign of life for minutes
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from gpu_server.work.blame import Whose
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


class ProblemDocument(Model):
    """Why a request was not answered as it was meant."""

    status: Annotated[int, Field(description="the HTTP status again")]
    code: Annotated[str, Field(description="for programs; a failure code where no retry helps")]
    message: Annotated[str, Field(description="for people; quotes nothing of the recording")]
    retryable: Annotated[bool, Field(description="whether the same request may succeed later")]


class Problem(Exception):
    """A request cannot be answered as it was meant."""

    status = 500
    code = "internal"
    retryable = True

    #: Whether it counts as a failure, of the recording or of what all recordings need.
    is_failure: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        #: Seconds.
        self.retry_after = retry_after
        #: Whose failure it is, where it is one of a recording in S3.
        self.whose = Whose.UNKNOWN
        #: The very bytes of that recording, where they are known.
        self.etag: str | None = None

    @property
    def document(self) -> ProblemDocument:
        """What the caller gets."""
        return ProblemDocument(
            status=self.status, code=self.code, message=str(self), retryable=self.retryable
        )

    @property
    def headers(self) -> dict[str, str]:
        """What the caller gets beside it."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class Defect(Problem):
    """Something was raised that nobody thought of."""

    is_failure = True


class Unauthorized(Problem):
    """The caller does not know the secret."""

    status, code, retryable = 401, "unauthorized", False

    @property
    def headers(self) -> dict[str, str]:
        """Say which secret."""
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """A foreign web page is behind the request."""

    status, code, retryable = 403, "forbidden", False


class InvalidRequest(Problem):
    """The request is not of the form that it should have."""

    status, code, retryable = 400, "invalid_request", False


class RefusedAddress(Problem):
    """A URL leads somewhere that must not be fetched from."""

    status, code, retryable = 400, "refused_address", False


class RefusedPlace(Problem):
    """An object in S3 is not one that this server reads or writes."""

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
    """A recording comes too slowly, or no more."""

    status, code = 408, "upload_stalled"


class RequestStalled(Problem):
    """A request's head, or the body of one that uploads nothing, was not complete in time."""

    status, code = 408, "request_stalled"


class NoSpace(Problem):
    """The disk is full, or what transfers may have of it."""

    status, code, is_failure = 507, "no_space", True


class Busy(Problem):
    """The queue is full, or there are too many transfers or requests."""

    status, code = 503, "busy"


class NotReady(Problem):
    """The model is being loaded."""

    status, code = 503, "not_ready"


class Stopping(Problem):
    """The server is being shut down."""

    status, code = 503, "stopping"


class EngineFailure(Problem):
    """The model or its process failed."""

    status, code, is_failure = 503, "engine_failed", True


class EngineStalled(EngineFailure):
    """The model's process gave no sign of life for so long that others had to wait."""


def of(error: TranscriberError | Stopped) -> Problem:
    """Return how a transcriber's error looks to a caller."""
    if isinstance(error, BadRecording):
        return Unprocessable(error.code, str(error))
    if isinstance(error, OptionUnavailable):
        return NotOffered(str(error))
    if isinstance(error, Stopped):
        return Stopping("The job was called off.", retry_after=5)
    kind = EngineStalled if isinstance(error, TranscriberStalled) else EngineFailure
    return kind(f"The recording was not transcribed: {error}.", retry_after=5)
