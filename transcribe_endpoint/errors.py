"""The errors with which the service refuses or ends a stream, or refuses a call.

ServiceError                       error_type and status as the service names them
├── BadRequest                     400 BadRequestException
├── AccessDenied                   403 AccessDeniedException
├── Conflict                       409 ConflictException
├── LimitExceeded                  429 LimitExceededException
├── UnknownOperation               404 UnknownOperationException
├── InternalFailure                500 InternalFailureException
├── ServiceUnavailable             503 ServiceUnavailableException
└── SignatureError                 403, see `signatures`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final


class ServiceError(Exception):
    """The service refuses or ends a stream, or refuses a call.

    Args:
        message: the text that the client receives.
        at_handshake: refuse a WebSocket by an HTTP status, and not as usual by an exception after
            the upgrade.
    """

    #: As in the header `x-amzn-errortype`.
    error_type: ClassVar[str] = "InternalFailureException"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, at_handshake: bool = False) -> None:
        super().__init__(message)
        self.at_handshake = at_handshake


class BadRequest(ServiceError):
    """An option is missing, wrong or contradicts another, or the audio does not fit the options."""

    error_type = "BadRequestException"
    status = 400


class AccessDenied(ServiceError):
    """The caller lacks a permission."""

    error_type = "AccessDeniedException"
    status = 403


class Conflict(ServiceError):
    """A new stream with the same session id began."""

    error_type = "ConflictException"
    status = 409


class LimitExceeded(ServiceError):
    """Too many streams are open, too many began at once, or a stream is too long."""

    error_type = "LimitExceededException"
    status = 429


class UnknownOperation(ServiceError):
    """There is no such operation here, or none with that path and method."""

    error_type = "UnknownOperationException"
    status = 404


class InternalFailure(ServiceError):
    """The service has a defect."""


class ServiceUnavailable(ServiceError):
    """The service cannot handle the request at the moment."""

    error_type = "ServiceUnavailableException"
    status = 503


#: The errors that a fault may ask for, by their types.
ERRORS: Final[Mapping[str, type[ServiceError]]] = {
    error.error_type: error
    for error in (
        BadRequest,
        AccessDenied,
        Conflict,
        LimitExceeded,
        InternalFailure,
        ServiceUnavailable,
    )
}
