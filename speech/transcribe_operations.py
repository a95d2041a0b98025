"""The operation of Amazon Transcribe's streaming API for the options of a stream.

An option that only Transcribe Medical has makes a stream a medical one. Like the descriptions, this
module needs the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from speech.transcribe_api import Operation
from speech.transcribe_values import (
    START_MEDICAL_STREAM_TRANSCRIPTION,
    START_STREAM_TRANSCRIPTION,
)

#: The operations that start a stream.
OPERATIONS: Final = (START_STREAM_TRANSCRIPTION, START_MEDICAL_STREAM_TRANSCRIPTION)
MEDICAL_LANGUAGES: Final = frozenset(
    START_MEDICAL_STREAM_TRANSCRIPTION.parameters["language-code"].values
)
#: The names of the options that make a stream a medical one.
MEDICAL_OPTIONS: Final = frozenset(
    START_MEDICAL_STREAM_TRANSCRIPTION.parameters.keys()
    - START_STREAM_TRANSCRIPTION.parameters.keys()
)
#: The options of a stream besides its language. Other parameters follow from these, or are set by
#: the engine. Source: API reference of the operations; the names of their headers without
#: `x-amzn-transcribe-`.
OPTIONS: Final = (
    "content-identification-type",
    "content-redaction-type",
    "identify-language",
    "identify-multiple-languages",
    "language-model-name",
    "language-options",
    "partial-results-stability",
    "pii-entity-types",
    "session-resume-window",
    "show-speaker-label",
    "transcript-format",
    "vocabulary-filter-method",
    "vocabulary-filter-name",
    "vocabulary-filter-names",
    "vocabulary-name",
    "vocabulary-names",
    *sorted(MEDICAL_OPTIONS),
)


def is_medical(options: Iterable[str]) -> bool:
    """Return whether a stream with options of these names is a medical one."""
    return not MEDICAL_OPTIONS.isdisjoint(options)


def operation_of(options: Iterable[str]) -> Operation:
    """Return the operation that starts a stream with options of these names."""
    return START_MEDICAL_STREAM_TRANSCRIPTION if is_medical(options) else START_STREAM_TRANSCRIPTION


def service_of(options: Iterable[str]) -> str:
    """Return AWS's name of the service for a stream with options of these names."""
    return "Amazon Transcribe Medical" if is_medical(options) else "Amazon Transcribe"
