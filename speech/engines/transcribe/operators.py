"""Validation of the operator's settings for Transcribe. Pure.

Settings with which no stream, or no permitted medical stream, could begin are refused at the start.
"""

from __future__ import annotations

from collections.abc import Mapping

from speech.engines.base import RecognitionOptions
from speech.engines.errors import OptionError
from speech.engines.transcribe.options import (
    LANGUAGES,
    AllowedOptions,
    InvalidOption,
    parse_choices,
)
from speech.transcribe_operations import MEDICAL_LANGUAGES, is_medical

#: The least options of a medical stream.
_MEDICAL = {"specialty": "PRIMARYCARE", "type": "CONVERSATION"}


def check(*, defaults: Mapping[str, str], allowed: AllowedOptions) -> None:
    """Check that streams can begin with these settings.

    Args:
        defaults: choices for every stream, by the service's names.
        allowed: what clients may choose.

    Raises:
        OptionError: they contradict each other, or the service would refuse them.
    """
    language = RecognitionOptions().language
    parse_choices(defaults, language=language)
    if not (allowed.medical or is_medical(defaults)):
        return
    if allowed.languages and allowed.languages.isdisjoint(MEDICAL_LANGUAGES):
        raise InvalidOption(f"Amazon Transcribe Medical needs one of {_listed(MEDICAL_LANGUAGES)}")
    if not is_medical(defaults):
        try:
            parse_choices({**defaults, **_MEDICAL}, language=language)
        except OptionError as error:
            raise InvalidOption(f"`medical` contradicts the defaults: {error}") from error


def languages(*, defaults: Mapping[str, str], allowed: AllowedOptions) -> frozenset[str]:
    """Return the languages that streams can be in."""
    of_service = MEDICAL_LANGUAGES if is_medical(defaults) else LANGUAGES
    return of_service & (allowed.languages or of_service)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
