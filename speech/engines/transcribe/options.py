"""The options of a stream of Transcribe, and those that the operator allows clients. Pure.

Choices have the names of the service's query parameters, for example
`{"identify-language": "true", "language-options": "en-US,fr-FR"}`. The operator's defaults are
choices too; a client's choices replace them if the operator allows the result.

A choice that only Transcribe Medical has makes the stream a medical one, with the options that
Amazon's model gives that operation, and no others.

OptionError                  the error of all engines; not retryable
├── UnknownOption            no option has this name, or none that clients may set
├── InvalidOption            the service would reject the value, or its combination with others
└── OptionNotAllowed         the operator does not allow it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from speech.engines.errors import OptionError, UnsupportedLanguage
from speech.pcm import SAMPLE_RATE
from speech.transcribe_api import Operation
from speech.transcribe_operations import OPTIONS, is_medical, operation_of, service_of
from speech.transcribe_values import (
    START_MEDICAL_STREAM_TRANSCRIPTION,
    START_STREAM_TRANSCRIPTION,
    LanguageCode,
    PartialResultsStability,
    Specialty,
    TranscriptFormat,
    Type,
    VocabularyFilterMethod,
)

#: The handling of personal information; of health information in a medical stream.
Pii = Literal["redact", "identify"]

LANGUAGES: Final = frozenset[str](get_args(LanguageCode))

#: The service's most channels, and its least languages for identification.
MAX_CHANNELS = 2
MIN_LANGUAGES = 2
#: The longest time in which the service lets a session be resumed, in minutes.
MAX_RESUME_WINDOW: Final = START_STREAM_TRANSCRIPTION.parameters["session-resume-window"].most


class UnknownOption(OptionError):
    """No option has this name."""


class InvalidOption(OptionError):
    """The service would reject the value, or its combination with others."""


class OptionNotAllowed(OptionError):
    """The operator does not allow the option, which the service supports."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not allowed here: {what}; whoever runs the service can allow it")


class AllowedOptions(BaseModel):
    """The options that clients may choose, by default the language only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Empty for all languages of the service.
    languages: frozenset[str] = frozenset()
    identify_language: bool = False
    vocabularies: frozenset[str] = frozenset()
    vocabulary_filters: frozenset[str] = frozenset()
    language_models: frozenset[str] = frozenset()
    speaker_labels: bool = False
    two_channels: bool = False
    stability: frozenset[PartialResultsStability] = frozenset()
    #: A default of redaction stays, because it protects other people than the client.
    pii: frozenset[Pii] = frozenset()
    transcript_format: frozenset[TranscriptFormat] = frozenset()
    #: The longest value that a client may choose, in minutes.
    session_resume_window: Annotated[int, Field(ge=0, le=MAX_RESUME_WINDOW)] = 0
    #: Transcribe Medical, of any specialty and type; it costs three times as much.
    medical: bool = False

    @field_validator("languages")
    @classmethod
    def _that_the_service_has(cls, value: frozenset[str]) -> frozenset[str]:
        unknown = sorted(value - LANGUAGES)
        if unknown:
            raise ValueError(f"Amazon Transcribe has no language {_quote(unknown[0])}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeOptions:
    """The consistent options of one stream."""

    language: str
    #: Identify one of `languages` for the stream, or several within it.
    identify: Literal["one", "several"] | None = None
    languages: tuple[str, ...] = ()
    vocabularies: tuple[str, ...] = ()
    vocabulary_filters: tuple[str, ...] = ()
    filter_method: VocabularyFilterMethod | None = None
    language_model: str | None = None
    speaker_labels: bool = False
    channels: int = 1
    stability: PartialResultsStability | None = None
    pii: Pii | None = None
    pii_types: tuple[str, ...] = ()
    transcript_format: TranscriptFormat | None = None
    #: How long the service keeps the session to be resumed by its id, in minutes.
    resume_window: int | None = None
    #: A medical stream has both.
    specialty: Specialty | None = None
    speech_type: Type | None = None

    @property
    def operation(self) -> Operation:
        """The operation that starts the stream."""
        return START_MEDICAL_STREAM_TRANSCRIPTION if self.specialty else START_STREAM_TRANSCRIPTION

    def parameters(self) -> dict[str, str]:
        """Return the query parameters of the request.

        Source: API reference of the operation; the names of its headers without
        `x-amzn-transcribe-`.
        """
        asked: dict[str, str] = {
            "media-encoding": "pcm",
            "sample-rate": str(SAMPLE_RATE),
        }
        asked |= self._of_language()
        if self.speaker_labels:
            asked["show-speaker-label"] = "true"
        if self.channels > 1:
            asked["enable-channel-identification"] = "true"
            asked["number-of-channels"] = str(self.channels)
        if self.stability:
            asked["enable-partial-results-stabilization"] = "true"
            asked["partial-results-stability"] = self.stability
        if self.pii:
            word = "redaction" if self.pii == "redact" else "identification"
            name = f"content-{word}-type"
            (asked[name],) = self.operation.parameters[name].values
            if self.pii_types:
                asked["pii-entity-types"] = ",".join(self.pii_types)
        if self.transcript_format:
            asked["transcript-format"] = self.transcript_format
        if self.resume_window:
            asked["session-resume-window"] = str(self.resume_window)
        if self.specialty and self.speech_type:
            asked["specialty"] = self.specialty
            asked["type"] = self.speech_type
        return asked

    def _of_language(self) -> dict[str, str]:
        """Return the parameters of the language, and those that depend on it."""
        asked: dict[str, str] = {}
        several = "s" if self.identify else ""  # a list of names for all languages, or one name
        if self.identify:
            switch = "language" if self.identify == "one" else "multiple-languages"
            asked[f"identify-{switch}"] = "true"
            asked["language-options"] = ",".join(self.languages)
            # The service accepts it with `identify-language` only.
            if self.identify == "one" and self.language in self.languages:
                asked["preferred-language"] = self.language
        else:
            asked["language-code"] = self.language
        if self.vocabularies:
            asked[f"vocabulary-name{several}"] = ",".join(self.vocabularies)
        if self.vocabulary_filters:
            asked[f"vocabulary-filter-name{several}"] = ",".join(self.vocabulary_filters)
        if self.filter_method:
            asked["vocabulary-filter-method"] = self.filter_method
        if self.language_model:
            asked["language-model-name"] = self.language_model
        return asked


def combine_choices(
    *,
    language: str,
    channels: int,
    choices: Mapping[str, str],
    allowed: AllowedOptions,
    defaults: Mapping[str, str],
) -> TranscribeOptions:
    """Combine the client's choices with the operator's defaults.

    Raises:
        UnknownOption: clients may set no option of this name.
        InvalidOption: a value is not the service's, or contradicts another.
        OptionNotAllowed: the operator does not allow it to clients.
        UnsupportedLanguage: the language is none of the service's.
    """
    if channels > 1 and not allowed.two_channels:
        raise OptionNotAllowed("two channels")
    if is_medical(choices) and not is_medical(defaults) and not allowed.medical:
        raise OptionNotAllowed("Amazon Transcribe Medical")
    replaced = {_OTHER_FORM[name] for name in choices if name in _OTHER_FORM}
    kept = {name: value for name, value in defaults.items() if name not in replaced}
    asked = parse_choices({**kept, **choices}, language=language, channels=channels)
    before = parse_choices(defaults, language=language, channels=channels, alone=False)
    _check_permission(asked, before, allowed)
    return asked


def parse_choices(
    choices: Mapping[str, str], *, language: str, channels: int = 1, alone: bool = True
) -> TranscribeOptions:
    """Parse `choices`.

    Args:
        choices: values by the service's names.
        language: the stream's.
        channels: the stream's.
        alone: whether to check that they are consistent with each other and with `channels`.

    Raises:
        UnknownOption: no option has this name.
        InvalidOption: a value is not the service's, or contradicts another.
        UnsupportedLanguage: the language is none of the service's.
    """
    operation = _choose_operation(choices, language)
    take = _Reader(choices, operation)
    identify: Literal["one", "several"] | None = None
    if take.switch("identify-language"):
        identify = "one"
    if take.switch("identify-multiple-languages"):
        if identify:
            raise InvalidOption("either one language is identified or several")
        identify = "several"
    options = TranscribeOptions(
        language=language,
        identify=identify,
        languages=take.values("language-options"),
        vocabularies=take.either("vocabulary-name", "vocabulary-names"),
        vocabulary_filters=take.either("vocabulary-filter-name", "vocabulary-filter-names"),
        filter_method=cast("VocabularyFilterMethod | None", take.text("vocabulary-filter-method")),
        language_model=take.text("language-model-name"),
        speaker_labels=take.switch("show-speaker-label"),
        channels=channels,
        stability=cast("PartialResultsStability | None", take.text("partial-results-stability")),
        pii=take.pii(),
        pii_types=take.values("pii-entity-types"),
        transcript_format=cast("TranscriptFormat | None", take.text("transcript-format")),
        resume_window=take.number("session-resume-window"),
        specialty=cast("Specialty | None", take.text("specialty")),
        speech_type=cast("Type | None", take.text("type")),
    )
    if alone:
        _check_combination(options)
    return options


def _choose_operation(choices: Mapping[str, str], language: str) -> Operation:
    """Return the operation that starts a stream with `choices`; raise where it lacks an option."""
    for name in choices:
        if name not in NAMES:
            raise UnknownOption(
                f"there is no option {_quote(name)}; there are: {', '.join(sorted(NAMES))}"
            )
    operation, service = operation_of(choices), service_of(choices)
    required = {name for name, parameter in operation.parameters.items() if parameter.required}
    foreign = sorted(choices.keys() - operation.parameters.keys())
    missing = sorted((required & NAMES) - choices.keys())
    if foreign:
        raise InvalidOption(f"{service} has no option {', '.join(foreign)}")
    if missing:
        raise InvalidOption(f"{service} needs {', '.join(missing)}")
    if language not in operation.parameters["language-code"].values:
        raise UnsupportedLanguage(f"{service} has no language {_quote(language)}")
    return operation


def _check_combination(options: TranscribeOptions) -> None:
    """Raise if the service would reject the combination."""
    rules = (
        (options.channels not in range(1, MAX_CHANNELS + 1), "there are one or two channels"),
        (
            options.identify and len(set(options.languages)) < MIN_LANGUAGES,
            "identification needs language-options, two at least",
        ),
        (
            len({tag.partition("-")[0] for tag in options.languages}) < len(options.languages),
            "language-options hold one dialect of each language",
        ),
        (
            options.languages and not options.identify,
            "language-options need identify-language or identify-multiple-languages",
        ),
        (
            options.identify and options.language_model,
            "a language model is of one language, which is not identified",
        ),
        (
            not options.identify and len(options.vocabularies) > 1,
            "several vocabularies need language identification",
        ),
        (
            not options.identify and len(options.vocabulary_filters) > 1,
            "several vocabulary filters need language identification",
        ),
        (
            options.filter_method and not options.vocabulary_filters,
            "vocabulary-filter-method needs a vocabulary filter",
        ),
        (
            options.speaker_labels and options.channels > 1,
            "speaker labels and channels exclude each other",
        ),
        (
            options.pii_types and not options.pii,
            "pii-entity-types need content-redaction-type or content-identification-type",
        ),
        (
            options.pii and options.identify,
            "PII is found in a language that is given, not identified",
        ),
    )
    problems = [text for broken, text in rules if broken]
    if problems:
        raise InvalidOption("; ".join(problems))


def _check_permission(
    asked: TranscribeOptions, before: TranscribeOptions, allowed: AllowedOptions
) -> None:
    """Raise if a client changes an option without permission.

    An option that stays as the operator has set it `before` needs no permission. A changed one
    does, and so do its details: the types of PII, and the method of a filter, are the operator's
    as long as the handling of PII or the filter is.
    """
    some = bool(allowed.languages)
    its_filters = {*asked.vocabulary_filters} <= allowed.vocabulary_filters
    rules = (
        ("identify", allowed.identify_language, "language identification"),
        ("languages", allowed.identify_language, "language identification"),
        ("languages", not some or {*asked.languages} <= allowed.languages, "these languages"),
        ("vocabularies", {*asked.vocabularies} <= allowed.vocabularies, "this vocabulary"),
        ("vocabulary_filters", its_filters, "this vocabulary filter"),
        ("filter_method", its_filters, "vocabulary-filter-method"),
        ("language_model", asked.language_model in allowed.language_models, "this language model"),
        ("speaker_labels", allowed.speaker_labels, "speaker labels"),
        ("stability", asked.stability in allowed.stability, "this stability"),
        ("pii", asked.pii in allowed.pii and before.pii != "redact", "this handling of PII"),
        ("pii_types", asked.pii in allowed.pii, "pii-entity-types"),
        (
            "transcript_format",
            asked.transcript_format in allowed.transcript_format,
            "this transcript-format",
        ),
        (
            "resume_window",
            (asked.resume_window or 0) <= allowed.session_resume_window,
            "so long a session-resume-window",
        ),
        ("specialty", allowed.medical, "this specialty"),
        ("speech_type", allowed.medical, "this type"),
    )
    problems = [
        what
        for name, permitted, what in rules
        if not permitted and getattr(asked, name) != getattr(before, name)
    ]
    if some and asked.language not in allowed.languages:
        problems.append("this language")
    if problems:
        raise OptionNotAllowed(", ".join(dict.fromkeys(problems)))


NAMES: Final = frozenset(OPTIONS)
#: The most values that an error lists.
_LISTED: Final = 20

#: Options that exclude each other: the client's replaces the operator's other form.
_FORMS = (
    ("vocabulary-name", "vocabulary-names"),
    ("vocabulary-filter-name", "vocabulary-filter-names"),
    ("identify-language", "identify-multiple-languages"),
    ("content-redaction-type", "content-identification-type"),
)
_OTHER_FORM = dict([*_FORMS, *((other, one) for one, other in _FORMS)])


class _Reader:
    """Reads values. Each method raises `InvalidOption` for an invalid one."""

    def __init__(self, choices: Mapping[str, str], operation: Operation) -> None:
        self._choices = choices
        self._parameters = operation.parameters

    def switch(self, name: str) -> bool:
        value = self._choices.get(name, "false")
        if value not in {"true", "false"}:
            raise InvalidOption(f"{name} is true or false")
        return value == "true"

    def text(self, name: str) -> str | None:
        value = self._choices.get(name)
        if value is not None and self._parameters[name].violated(value):
            raise InvalidOption(f"{name} has no value {_quote(value)}{self._values(name)}")
        return value

    def _values(self, name: str) -> str:
        """Return the values of an option for a message; empty where there are too many."""
        values = self._parameters[name].values
        return f"; there are: {', '.join(values)}" if 0 < len(values) <= _LISTED else ""

    def number(self, name: str) -> int | None:
        value = self._choices.get(name)
        if value is None:
            return None
        problem = self._parameters[name].violated(value)
        if problem:
            raise InvalidOption(f"{name} has no value {_quote(value)}: {problem}")
        return int(value)

    def values(self, name: str) -> tuple[str, ...]:
        value = self.text(name)
        values = () if value is None else self._parameters[name].split(value)
        if not all(values):
            raise InvalidOption(f"{name} has an empty value")
        return values

    def either(self, one: str, several: str) -> tuple[str, ...]:
        """Return one name or several; the service has an option for each."""
        single = self.text(one)
        if single is None:
            return self.values(several)
        if several in self._choices:
            raise InvalidOption(f"{one} and {several} exclude each other")
        return (single,)

    def pii(self) -> Pii | None:
        names = ("content-redaction-type", "content-identification-type")
        given = [name for name in names if self.text(name) is not None]
        if len(given) > 1:
            raise InvalidOption("PII is either redacted or identified")
        if not given:
            return None
        return "redact" if given[0] == names[0] else "identify"


def _quote(value: str) -> str:
    """Return a client's value as an error may quote it."""
    return repr(value[:40])
