"""The exceptions of the translators.

TranslationError        `retryable` is whether the same call may succeed a moment later
├── Throttled           too many calls for the account's quota
├── Unavailable         the service did not respond, or failed
├── AccessDenied        no credentials, or no permission; the operator has to act
├── UnsupportedPair     the service does not translate from this language into that one
│   └── Undetected      the service could not detect the text's language with confidence
├── TextTooLong         the text is longer than the service accepts
└── Refused             the service rejected the request; the message has its code

No message contains the text, because errors are logged.
"""

from __future__ import annotations


class TranslationError(Exception):
    """A text was not translated; `retryable` is whether another attempt may succeed."""

    retryable = False
    #: The code of the detected language, if the service detected one.
    detected: str | None = None


class Throttled(TranslationError):
    """There were too many calls for the account's quota."""

    retryable = True


class Unavailable(TranslationError):
    """The service did not respond, or failed."""

    retryable = True


class AccessDenied(TranslationError):
    """The service denied access."""


class UnsupportedPair(TranslationError):
    """The service does not translate from the one language into the other."""


class Undetected(UnsupportedPair):
    """The service could not detect the text's language with confidence."""


class TextTooLong(TranslationError):
    """The text is longer than the service accepts."""


class Refused(TranslationError):
    """The service rejected the request."""
