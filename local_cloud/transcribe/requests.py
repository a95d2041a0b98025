"""What a stream asks for, in a query string or in headers, and refused as the service does it.

ServiceError                       error_type and status as the service names them
├── BadRequest                     400 BadRequestException
├── AccessDenied                   403 AccessDeniedException
├── Conflict                       409 ConflictException
├── LimitExceeded                  429 LimitExceededException
├── InternalFailure                500 InternalFailureException
└── ServiceUnavailable             503 ServiceUnavailableException

The rules are those of the API reference of StartStreamTranscription. Its texts could not be
compared with the service's own: the exception's type can be relied upon, not the wording.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

#: What comes before a parameter's name when it travels as a header.
HEADER_PREFIX: Final = "x-amzn-transcribe-"

ENCODINGS: Final = ("pcm", "ogg-opus", "flac")
STABILITIES: Final = ("high", "medium", "low")
FILTER_METHODS: Final = ("remove", "mask", "tag")
#: Hz.
LOWEST_RATE: Final = 8_000
HIGHEST_RATE: Final = 48_000
CHANNELS: Final = 2
_TAGS = """
af-ZA ar-AE ar-SA ca-ES cs-CZ da-DK de-CH de-DE el-GR en-AB en-AU en-GB en-IE en-IN en-NZ
en-US en-WL en-ZA es-ES es-US eu-ES fa-IR fi-FI fr-CA fr-FR gl-ES he-IL hi-IN hr-HR id-ID
it-IT ja-JP ko-KR lv-LV ms-MY nl-NL no-NO pl-PL pt-BR pt-PT ro-RO ru-RU sk-SK so-SO sr-RS
sv-SE th-TH tl-PH uk-UA vi-VN zh-CN zh-HK zh-TW zu-ZA
"""
#: Languages of streams, as the developer guide lists them.
LANGUAGES: Final = frozenset(_TAGS.split())

_SESSION_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NAME = re.compile(r"[0-9a-zA-Z._-]{1,200}")
_NAMES = re.compile(r"[0-9a-zA-Z,._-]{1,3000}")
_PII_TYPES = re.compile(r"[A-Z_, ]{1,300}")
_DIGITS = re.compile(r"[0-9]{1,9}")


class ServiceError(Exception):
    """The service says no. `str` of it is the message that the client gets.

    Args:
        message: the message.
        at_handshake: a WebSocket is to be refused by an HTTP status, and not as usual by an
            exception after the upgrade.
    """

    #: As in the header `x-amzn-errortype`.
    error_type: ClassVar[str] = "InternalFailureException"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, at_handshake: bool = False) -> None:
        super().__init__(message)
        self.at_handshake = at_handshake


class BadRequest(ServiceError):
    """An option is missing, wrong or at odds with another, or the audio is not what was said."""

    error_type = "BadRequestException"
    status = 400


class AccessDenied(ServiceError):
    """The caller may not do that."""

    error_type = "AccessDeniedException"
    status = 403


class Conflict(ServiceError):
    """A new stream with the same session id began."""

    error_type = "ConflictException"
    status = 409


class LimitExceeded(ServiceError):
    """Too many streams, too many at once, or too long a stream."""

    error_type = "LimitExceededException"
    status = 429


class InternalFailure(ServiceError):
    """A defect."""


class ServiceUnavailable(ServiceError):
    """The service is not able to at the moment."""

    error_type = "ServiceUnavailableException"
    status = 503


#: Every error by the name that the service gives it.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """A stream that may begin: its options agree with each other."""

    #: The one language; None while it is to be identified.
    language_code: str | None
    media_encoding: str
    #: Hz.
    sample_rate: int
    session_id: str
    identify_language: bool = False
    identify_multiple_languages: bool = False
    #: At least two when a language is to be identified, else none.
    language_options: tuple[str, ...] = ()
    preferred_language: str | None = None
    vocabulary_names: tuple[str, ...] = ()
    vocabulary_filter_names: tuple[str, ...] = ()
    vocabulary_filter_method: str | None = None
    #: What the filters hold, in lower case, by language; `Vocabularies.resolve` adds it.
    filtered_words: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    language_model_name: str | None = None
    show_speaker_label: bool = False
    #: Interleaved in the audio: 2 when they are to be told apart, else 1.
    channels: int = 1
    #: `high`, `medium` or `low` when partials are to be stabilised, else None.
    stability: str | None = None
    content_redaction: bool = False
    content_identification: bool = False
    pii_entity_types: tuple[str, ...] = ()
    #: The parameters as they came, by the names of the query form; echoed in the response.
    given: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> StreamRequest:
        """Return what `parameters` ask for.

        Args:
            parameters: by the names of the WebSocket API (`language-code`) or those of the
                HTTP/2 API's headers (`x-amzn-transcribe-language-code`). Others are ignored.

        Raises:
            BadRequest: something is missing, wrong or contradictory.
        """
        return _Reader(parameters).read()

    @property
    def identifies(self) -> bool:
        """Whether a language is to be identified."""
        return self.identify_language or self.identify_multiple_languages

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of PCM."""
        return self.sample_rate * self.channels * 2

    def response_headers(self) -> dict[str, str]:
        """Return what the response tells of the stream: its options, and who it is."""
        headers = {HEADER_PREFIX + name: value for name, value in self.given.items()}
        headers[HEADER_PREFIX + "session-id"] = self.session_id
        headers["x-amzn-request-id"] = str(uuid.uuid4())
        return headers


def known_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the service's parameters by the names of the query form; empty ones are absent."""
    found: dict[str, str] = {}
    for name, value in parameters.items():
        short = name.lower().removeprefix(HEADER_PREFIX)
        if short in _PARAMETERS and value:
            found[short] = value
    return found


class _Reader:
    """Reads one request: first each value by itself, then all of them together."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._given = known_parameters(parameters)
        self._violations: list[str] = []

    def read(self) -> StreamRequest:
        given = self._given
        for name, check in _PARAMETERS.items():
            value = given.get(name)
            if value is not None:
                constraint = check(value)
                if constraint:
                    self._violated(name, value, constraint)
            elif name in _REQUIRED:
                self._violated(name, None, "Member must not be null")
        if self._violations:
            count = len(self._violations)
            plural = "s" if count > 1 else ""
            found = f"{count} validation error{plural} detected: {'; '.join(self._violations)}"
            raise BadRequest(found)
        request = self._request()
        _check(request, given)
        return request

    def _violated(self, name: str, value: str | None, constraint: str) -> None:
        shown = "" if value is None else f" '{value[:100]}'"
        member = _MEMBERS.get(name) or _camel(name)
        self._violations.append(
            f"Value{shown} at '{member}' failed to satisfy constraint: {constraint}"
        )

    def _request(self) -> StreamRequest:
        given = self._given
        stabilised = self._true("enable-partial-results-stabilization")
        return StreamRequest(
            language_code=given.get("language-code"),
            media_encoding=given["media-encoding"],
            sample_rate=int(given["sample-rate"]),
            session_id=given.get("session-id") or str(uuid.uuid4()),
            identify_language=self._true("identify-language"),
            identify_multiple_languages=self._true("identify-multiple-languages"),
            language_options=self._list("language-options"),
            preferred_language=given.get("preferred-language"),
            vocabulary_names=self._list("vocabulary-name") + self._list("vocabulary-names"),
            vocabulary_filter_names=self._list("vocabulary-filter-name")
            + self._list("vocabulary-filter-names"),
            vocabulary_filter_method=given.get("vocabulary-filter-method"),
            language_model_name=given.get("language-model-name"),
            show_speaker_label=self._true("show-speaker-label"),
            channels=CHANNELS if self._true("enable-channel-identification") else 1,
            stability=given.get("partial-results-stability", "high") if stabilised else None,
            content_redaction="content-redaction-type" in given,
            content_identification="content-identification-type" in given,
            pii_entity_types=self._list("pii-entity-types"),
            given=given,
        )

    def _true(self, name: str) -> bool:
        return self._given.get(name, "").lower() == "true"

    def _list(self, name: str) -> tuple[str, ...]:
        parts = self._given.get(name, "").split(",")
        return tuple(part.strip(" ") for part in parts if part.strip(" "))


# --- one value --------------------------------------------------------------------------------

#: Takes a value; returns the constraint that it fails, or nothing.
_Check = Callable[[str], str]


def _one_of(*allowed: str) -> _Check:
    constraint = f"Member must satisfy enum value set: [{', '.join(allowed)}]"
    return lambda value: "" if value in allowed else constraint


def _matches(pattern: re.Pattern[str]) -> _Check:
    constraint = f"Member must satisfy regular expression pattern: {pattern.pattern}"
    return lambda value: "" if pattern.fullmatch(value) else constraint


def _truth(value: str) -> str:
    return "" if value.lower() in {"true", "false"} else "Member must be true or false"


def _rate(value: str) -> str:
    if _DIGITS.fullmatch(value) and LOWEST_RATE <= int(value) <= HIGHEST_RATE:
        return ""
    return f"Member must be between {LOWEST_RATE} and {HIGHEST_RATE}, inclusive"


def _channel_count(value: str) -> str:
    return "" if value == str(CHANNELS) else f"Member must have value equal to {CHANNELS}"


def _language(value: str) -> str:
    return "" if value in LANGUAGES else f"Member must satisfy enum value set: {_LANGUAGE_SET}"


def _languages(value: str) -> str:
    unknown = [part for part in value.split(",") if part.strip(" ") not in LANGUAGES]
    return f"Member must satisfy enum value set: {_LANGUAGE_SET}" if unknown else ""


_LANGUAGE_SET = f"[{', '.join(sorted(LANGUAGES))}]"

_PARAMETERS: Final[Mapping[str, _Check]] = {
    "language-code": _language,
    "media-encoding": _one_of(*ENCODINGS),
    "sample-rate": _rate,
    "session-id": _matches(_SESSION_ID),
    "identify-language": _truth,
    "identify-multiple-languages": _truth,
    "language-options": _languages,
    "preferred-language": _language,
    "vocabulary-name": _matches(_NAME),
    "vocabulary-names": _matches(_NAMES),
    "vocabulary-filter-name": _matches(_NAME),
    "vocabulary-filter-names": _matches(_NAMES),
    "vocabulary-filter-method": _one_of(*FILTER_METHODS),
    "language-model-name": _matches(_NAME),
    "show-speaker-label": _truth,
    "enable-channel-identification": _truth,
    "number-of-channels": _channel_count,
    "enable-partial-results-stabilization": _truth,
    "partial-results-stability": _one_of(*STABILITIES),
    "content-redaction-type": _one_of("PII"),
    "content-identification-type": _one_of("PII"),
    "pii-entity-types": _matches(_PII_TYPES),
}
_REQUIRED: Final = frozenset({"media-encoding", "sample-rate"})
#: Members of the service's model whose names are not those of the parameters in camel case.
_MEMBERS: Final = {"sample-rate": "mediaSampleRateHertz"}


def _camel(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(part.capitalize() for part in others)


# --- all of them ------------------------------------------------------------------------------


def _check(request: StreamRequest, given: Mapping[str, str]) -> None:
    """Accept options that agree with each other.

    Raises:
        BadRequest: they do not.
    """
    for is_wrong, message in (*_language_rules(request, given), *_other_rules(request, given)):
        if is_wrong:
            raise BadRequest(message)


def _language_rules(
    request: StreamRequest, given: Mapping[str, str]
) -> tuple[tuple[bool, str], ...]:
    """Return what is wrong about languages, and how to say it."""
    options = request.language_options
    dialects = {option.partition("-")[0] for option in options}
    return (
        (
            request.identify_language and request.identify_multiple_languages,
            "You can't set both IdentifyLanguage and IdentifyMultipleLanguages.",
        ),
        (
            not request.identifies and request.language_code is None,
            "You must specify either LanguageCode, IdentifyLanguage or IdentifyMultipleLanguages.",
        ),
        (
            request.identifies and request.language_code is not None,
            "You can't set LanguageCode when a language is to be identified.",
        ),
        (
            request.identifies and len(set(options)) < 2,  # noqa: PLR2004 - so says the API
            "You must specify at least two LanguageOptions to identify a language.",
        ),
        (
            request.identifies and len(dialects) < len(options),
            "You can specify only one dialect of each language in LanguageOptions.",
        ),
        (
            not request.identifies and bool(options),
            "You can't set LanguageOptions unless a language is to be identified.",
        ),
        (
            "preferred-language" in given and not request.identify_language,
            "You can't set PreferredLanguage without IdentifyLanguage.",
        ),
        (
            "preferred-language" in given and request.preferred_language not in options,
            "PreferredLanguage must be one of LanguageOptions.",
        ),
        (
            request.identifies and "vocabulary-name" in given,
            (
                "You can't set VocabularyName when a language is to be identified; "
                "use VocabularyNames."
            ),
        ),
        (
            request.identifies and "vocabulary-filter-name" in given,
            (
                "You can't set VocabularyFilterName when a language is to be identified; "
                "use VocabularyFilterNames."
            ),
        ),
        (
            not request.identifies
            and ("vocabulary-names" in given or "vocabulary-filter-names" in given),
            (
                "VocabularyNames and VocabularyFilterNames are for languages to be identified; "
                "use VocabularyName and VocabularyFilterName."
            ),
        ),
        (
            request.identifies and request.language_model_name is not None,
            "You can't set LanguageModelName when a language is to be identified.",
        ),
    )


def _other_rules(request: StreamRequest, given: Mapping[str, str]) -> tuple[tuple[bool, str], ...]:
    """Return what is wrong about all else, and how to say it."""
    redacts, identifies = request.content_redaction, request.content_identification
    return (
        (
            request.channels > 1 and "number-of-channels" not in given,
            "You must set NumberOfChannels to 2 with EnableChannelIdentification.",
        ),
        (
            request.channels == 1 and "number-of-channels" in given,
            "You can't set NumberOfChannels without EnableChannelIdentification.",
        ),
        (
            request.channels > 1 and request.show_speaker_label,
            "You can't set both ShowSpeakerLabel and EnableChannelIdentification.",
        ),
        (
            request.stability is None and "partial-results-stability" in given,
            "You can't set PartialResultsStability without EnablePartialResultsStabilization.",
        ),
        (
            redacts and identifies,
            "You can't set both ContentRedactionType and ContentIdentificationType.",
        ),
        (
            not redacts and not identifies and "pii-entity-types" in given,
            (
                "You can't set PiiEntityTypes without ContentRedactionType or "
                "ContentIdentificationType."
            ),
        ),
        (
            request.vocabulary_filter_method is not None and not request.vocabulary_filter_names,
            "You can't set VocabularyFilterMethod without VocabularyFilterName.",
        ),
    )
