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
│   ├── ConnectionLost       the peer went without a word, or closed in mid-stream
│   ├── ServiceFailed        the service failed in mid-stream
│   ├── SessionConflict      409: another stream took this one's place
│   ├── AudioTimedOut        the service missed our audio for 15 seconds
│   └── UnreadableEvent      what came is no event of the service
├── EngineStalled            the service holds its peace, though it has something to finish
├── SessionEnded             the session's time is up; the next one goes on
├── RequestRefused           400: the service does not take what was asked; no retry
└── OptionError              see options.py; no retry

Clients are told `public` alone. No message holds a URL, a credential or an account: the service's
own texts may quote the signed request or name who sent it, so they pass `told_by_service` first.
And nothing is raised `from` a library's exception, which may hold the URL in its attributes.
"""

from __future__ import annotations

import re

from speech.engines.errors import EngineCrashed, EngineError, EngineUnavailable

#: Of a text of the service so many characters are kept.
MAX_TEXT = 200

#: What a text that quotes a signed request or names an account has in it; so has any URL.
_SECRET = re.compile(
    r"x-amz|aws4|credential=|signature=|canonical|://|\b(?:AKIA|ASIA)[A-Z0-9]{8}|arn:|\b\d{12}\b",
    re.IGNORECASE,
)


class EndpointUnreachable(EngineUnavailable):
    """There was no connection to be had."""


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

    Whether a retry helps is known when the chain was asked for newer ones.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class AccessDenied(EngineUnavailable):
    """The service does not let these credentials in."""

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
    """The service sent something that cannot be understood."""


class RequestRefused(EngineError):
    """The service does not take the request, whoever sends it how often."""

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


def told_by_service(text: str) -> str:
    """Return a text of the service as far as it may be shown: short, and without secrets."""
    line = " ".join(text.split())
    if _SECRET.search(line):
        return "(its text is withheld)"
    return line[:MAX_TEXT]


def named(kind: str, text: str, *, status: int | None = None) -> EngineError:
    """Return the exception for an error that the service calls `kind`.

    Args:
        kind: the service's name for it, e.g. `BadRequestException`; may be empty.
        text: the service's explanation.
        status: the HTTP status, where the error refused the handshake. Without a name, it decides.
    """
    name = kind.split(":", 1)[0].rsplit("#", 1)[-1]
    told = f"Amazon Transcribe: {told_by_service(name) or 'error'}"
    if status is not None:
        told += f" ({status})"
    if text:
        told += f": {told_by_service(text)}"
    return _class_of(name, text.lower(), status)(told)


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
