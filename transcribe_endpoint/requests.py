"""Parsing and validation of the parameters of a stream, which come in a query string or in headers.

Amazon's own model (`speech/transcribe_values.py`) defines the parameters of each operation and the
values of each parameter; other parameters are ignored. Which parameters exclude or need each other
follows the API reference of StartStreamTranscription; for StartMedicalStreamTranscription it has no
further rules. The messages could not be compared with the service's own: rely on the exception's
type, not on its wording.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from speech.transcribe_api import Operation, Parameter
from speech.transcribe_values import START_STREAM_TRANSCRIPTION
from transcribe_endpoint.errors import BadRequest

#: Prefix of a parameter's name as a header.
HEADER_PREFIX: Final = "x-amzn-transcribe-"

#: Channels of a stream with channel identification.
CHANNELS: Final = 2
#: Sample rate of the telephone encodings, Hz: ITU-T G.711 and G.729 have no other.
TELEPHONE_RATE: Final = 8_000
#: The telephone encodings, each with the bytes and the samples of a frame of one channel.
TELEPHONE: Final[Mapping[str, tuple[int, int]]] = {
    "g711-alaw": (1, 1),
    "g711-ulaw": (1, 1),
    "g729": (10, 80),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeRequest:
    """The validated options of a stream."""

    #: The language; None where it is to be identified.
    language_code: str | None
    media_encoding: str
    #: Hz.
    sample_rate: int
    session_id: str
    identify_language: bool = False
    identify_multiple_languages: bool = False
    #: At least two where a language is to be identified, else none.
    language_options: tuple[str, ...] = ()
    preferred_language: str | None = None
    vocabulary_names: tuple[str, ...] = ()
    vocabulary_filter_names: tuple[str, ...] = ()
    vocabulary_filter_method: str | None = None
    #: The words of the filters, in lower case, by language; `Vocabularies.resolve` adds them.
    filtered_words: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    language_model_name: str | None = None
    show_speaker_label: bool = False
    #: Channels in the audio, interleaved: 2 with channel identification, else 1.
    channels: int = 1
    #: `high`, `medium` or `low` with partial-results stabilisation, else None.
    stability: str | None = None
    content_redaction: bool = False
    content_identification: bool = False
    pii_entity_types: tuple[str, ...] = ()
    #: `written` or `spoken`; None where the client gives none.
    transcript_format: str | None = None
    #: Minutes within which a stream with the same session id continues this one.
    session_resume_window: int | None = None
    #: The operation that began it, which decides on the form of its results.
    operation: Operation = START_STREAM_TRANSCRIPTION
    #: The parameters as they came, by their names in a query; echoed in the response.
    given: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(
        cls, parameters: Mapping[str, str], operation: Operation = START_STREAM_TRANSCRIPTION
    ) -> TranscribeRequest:
        """Return the validated options in `parameters`.

        Args:
            parameters: by the names of the WebSocket API (`language-code`) or those of the
                HTTP/2 API's headers (`x-amzn-transcribe-language-code`). Others are ignored.
            operation: the operation that they belong to.

        Raises:
            BadRequest: a parameter is missing or wrong, or two contradict each other.
        """
        given = check_each(parameters, operation)
        request = _from_parameters(given, operation)
        rules = (*_language_rules(request, given), *_other_rules(request, given))
        for is_broken, message in rules:
            if is_broken:
                raise BadRequest(message)
        return request

    @property
    def identifies(self) -> bool:
        """Whether a language is to be identified."""
        return self.identify_language or self.identify_multiple_languages

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of PCM."""
        return self.sample_rate * self.channels * 2

    def response_headers(self) -> dict[str, str]:
        """Return the headers of the response: the stream's options, and its ids."""
        headers = {HEADER_PREFIX + name: value for name, value in self.given.items()}
        headers[HEADER_PREFIX + "session-id"] = self.session_id
        headers["x-amzn-request-id"] = str(uuid.uuid4())
        return headers


def check_each(parameters: Mapping[str, str], operation: Operation) -> dict[str, str]:
    """Return the operation's parameters by their names in a query, without empty ones.

    Each is valid by itself.

    Raises:
        BadRequest: some are missing or wrong; the message names all of them.
    """
    named = (
        (name.lower().removeprefix(HEADER_PREFIX), value) for name, value in parameters.items()
    )
    given = {name: value for name, value in named if name in operation.parameters and value}
    violations: list[str] = []
    for name, parameter in operation.parameters.items():
        value = given.get(name)
        if value is not None:
            constraint = parameter.violated(value)
        else:
            constraint = "Member must not be null" if parameter.required else ""
        if constraint:
            violations.append(_violation(parameter, value, constraint))
    if violations:
        plural = "s" if len(violations) > 1 else ""
        raise BadRequest(
            f"{len(violations)} validation error{plural} detected: {'; '.join(violations)}"
        )
    return given


def _violation(parameter: Parameter, value: str | None, constraint: str) -> str:
    shown = "" if value is None else f" '{value[:100]}'"
    member = parameter.member[0].lower() + parameter.member[1:]
    return f"Value{shown} at '{member}' failed to satisfy constraint: {constraint}"


def _from_parameters(given: Mapping[str, str], operation: Operation) -> TranscribeRequest:
    """Return the options in parameters that are valid by themselves."""

    def is_true(name: str) -> bool:
        return given.get(name, "").lower() == "true"

    def several(*names: str) -> tuple[str, ...]:
        listed = ",".join(given[name] for name in names if name in given)
        return tuple(one.strip(" ") for one in listed.split(",") if one.strip(" "))

    window = given.get("session-resume-window")
    stabilised = is_true("enable-partial-results-stabilization")
    return TranscribeRequest(
        language_code=given.get("language-code"),
        media_encoding=given["media-encoding"],
        sample_rate=int(given["sample-rate"]),
        session_id=given.get("session-id") or str(uuid.uuid4()),
        identify_language=is_true("identify-language"),
        identify_multiple_languages=is_true("identify-multiple-languages"),
        language_options=several("language-options"),
        preferred_language=given.get("preferred-language"),
        vocabulary_names=several("vocabulary-name", "vocabulary-names"),
        vocabulary_filter_names=several("vocabulary-filter-name", "vocabulary-filter-names"),
        vocabulary_filter_method=given.get("vocabulary-filter-method"),
        language_model_name=given.get("language-model-name"),
        show_speaker_label=is_true("show-speaker-label"),
        channels=CHANNELS if is_true("enable-channel-identification") else 1,
        stability=given.get("partial-results-stability", "high") if stabilised else None,
        content_redaction="content-redaction-type" in given,
        content_identification="content-identification-type" in given,
        pii_entity_types=several("pii-entity-types"),
        transcript_format=given.get("transcript-format"),
        session_resume_window=int(window) if window else None,
        operation=operation,
        given=given,
    )


# --- combinations ------------------------------------------------------------------------------


def _language_rules(
    request: TranscribeRequest, given: Mapping[str, str]
) -> tuple[tuple[bool, str], ...]:
    """Return the rules about languages: whether each is broken, and the message for that."""
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
        (
            request.identifies and (request.content_redaction or request.content_identification),
            (
                "You can't set ContentRedactionType or ContentIdentificationType when a language "
                "is to be identified."
            ),
        ),
    )


def _other_rules(
    request: TranscribeRequest, given: Mapping[str, str]
) -> tuple[tuple[bool, str], ...]:
    """Return the other rules: whether each is broken, and the message for that."""
    redacts, identifies = request.content_redaction, request.content_identification
    telephone = request.media_encoding in TELEPHONE
    return (
        (
            telephone and request.sample_rate != TELEPHONE_RATE,
            f"Audio of MediaEncoding {request.media_encoding} has {TELEPHONE_RATE} Hz.",
        ),
        (
            request.media_encoding == "g729" and request.channels > 1,
            "Audio of MediaEncoding g729 has one channel.",
        ),
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
