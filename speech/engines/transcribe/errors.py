"""The exceptions of the engine `transcribe`. Each says whether another attempt can help.

EngineError
├── EngineUnavailable
│   ├── EndpointUnreachable  no connection, no TLS, no answer to the handshake
│   ├── ServiceUnavailable   503, or 500 before the stream began
│   ├── Throttled            429: too many streams, or too many started at once
│   ├── CredentialsMissing   the chain of AWS finds none, or cannot refresh them
│   ├── CredentialsExpired   a retry helps if the chain has newer ones
│   └── AccessDenied         unknown key, wrong signature, missing permission; no retry
├── EngineCrashed
│   ├── ConnectionLost       the connection was lost, or the peer closed it in mid-stream
│   ├── ServiceFailed        the service failed in mid-stream
│   ├── SessionConflict      409: another stream has the same session id
│   ├── AudioTimedOut        the service received no audio for 15 seconds
│   └── UnreadableEvent      the service sent an event that cannot be parsed
├── EngineStalled            the service owes a result and sends nothing
├── SessionEnded             the session reached its longest duration; another one follows
├── RequestRefused           400: the service rejects the request; no retry
└── OptionError              see options.py; no retry

Clients get `public` only. No message contains a URL, a credential or an account: the service's own
texts may quote the signed request or name its sender, so `redact` filters them. Nothing is raised
`from` a library's exception, which may have the URL in its attributes.
"""

from __future__ import annotations

import re

from speech.engines.errors import EngineCrashed, EngineError, EngineUnavailable

#: The most characters of a text of the service that are shown.
MAX_TEXT = 200

#: Matches texts that quote a signed request, name an account or contain a URL.
_SECRET = re.compile(
    r"x-amz|aws4|credential=|signature=|canonical|://|\b(?:AKIA|ASIA)[A-Z0-9]{8}|arn:|\b\d{12}\b",
    re.IGNORECASE,
)


class EndpointUnreachable(EngineUnavailable):
    """No connection could be opened."""


class ServiceUnavailable(EngineUnavailable):
    """The service cannot take a stream at the moment."""


class Throttled(EngineUnavailable):
    """The account's quota of streams, or of starts per second, is used up."""

    public = "The recognition engine takes no more streams at the moment."


class CredentialsMissing(EngineUnavailable):
    """AWS's chain of providers has no credentials."""

    retryable = False


class CredentialsExpired(EngineUnavailable):
    """The credentials have expired.

    A retry helps if the chain of providers returns newer ones.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class AccessDenied(EngineUnavailable):
    """The service rejects these credentials."""

    retryable = False


class ConnectionLost(EngineCrashed):
    """The connection ended before the stream did."""


class ServiceFailed(EngineCrashed):
    """The service reported an error of its own in mid-stream."""


class SessionConflict(EngineCrashed):
    """Another stream with the same session id began."""


class AudioTimedOut(EngineCrashed):
    """The service waited for audio for too long."""


class UnreadableEvent(EngineCrashed):
    """The service sent an event that cannot be parsed."""


class RequestRefused(EngineError):
    """The service rejects the request itself."""

    retryable = False
    public = "The recognition engine refuses the stream."


_EXPIRED = ("ExpiredToken", "RequestExpired", "ExpiredTokenException")
_DENIED = (
    "AccessDenied",
    "UnrecognizedClient",
    "InvalidSignature",
    "InvalidClientTokenId",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "SubscriptionRequired",
)
_THROTTLED = ("LimitExceeded", "Throttling", "ThrottledException", "TooManyRequests")


def redact(text: str) -> str:
    """Return a text of the service that may be shown: short, or withheld if it has secrets."""
    line = " ".join(text.split())
    if _SECRET.search(line):
        return "(its text is withheld)"
    return line[:MAX_TEXT]


def to_engine_error(kind: str, text: str, *, status: int | None = None) -> EngineError:
    """Return the exception for an error of the service.

    Args:
        kind: the service's name of the error, e.g. `BadRequestException`; may be empty.
        text: the service's explanation.
        status: the HTTP status of a refused handshake. It decides if `kind` is empty or unknown.
    """
    name = kind.split(":", 1)[0].rsplit("#", 1)[-1]
    message = f"Amazon Transcribe: {redact(name) or 'error'}"
    if status is not None:
        message += f" ({status})"
    if text:
        message += f": {redact(text)}"
    return _class_of(name, text.lower(), status)(message)


def _class_of(name: str, text: str, status: int | None) -> type[EngineError]:  # noqa: PLR0911 - a table
    if name.startswith(_EXPIRED) or ("token" in text and "expired" in text):
        return CredentialsExpired
    if name.startswith(_DENIED):
        return AccessDenied
    if name.startswith(_THROTTLED) or status == 429:  # noqa: PLR2004 - HTTP
        return Throttled
    if name.startswith("Conflict") or status == 409:  # noqa: PLR2004
        return SessionConflict
    if name.startswith("ServiceUnavailable") or status == 503:  # noqa: PLR2004
        return ServiceUnavailable
    if name.startswith("BadRequest"):
        return AudioTimedOut if "no new audio" in text else RequestRefused
    if status is None:
        return ServiceFailed
    if status in {401, 403}:
        return AccessDenied
    return ServiceUnavailable if status >= 500 else RequestRefused  # noqa: PLR2004
