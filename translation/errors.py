"""The exceptions of the translators.

TranslationError        retryable says whether the same text can be translated a moment later
├── Throttled           too many calls for the account's quota
├── Unavailable         no answer, or the service failed
├── AccessDenied        no credentials, or not the right; the operator has to do something
├── UnsupportedPair     not from this language into that one, whatever the text
│   └── Undetected      the service is not sure of the text's language
├── TextTooLong         more than the service takes
└── Refused             the service does not take the request; its code says why

No message holds a text: errors are logged.
"""

from __future__ import annotations


class TranslationError(Exception):
    """A text was not translated; `retryable` tells whether another attempt can help."""

    retryable = False
    #: The code of the language that the service detected, where it detects and names one.
    detected: str | None = None


class Throttled(TranslationError):
    """There were too many calls."""

    retryable = True


class Unavailable(TranslationError):
    """The service did not answer, or failed."""

    retryable = True


class AccessDenied(TranslationError):
    """The service does not let us in."""


class UnsupportedPair(TranslationError):
    """There is no translation from the one language into the other."""


class Undetected(UnsupportedPair):
    """The service is not sure of the text's language."""


class TextTooLong(TranslationError):
    """The text is longer than the service takes."""


class Refused(TranslationError):
    """The service does not take the request as it is."""
