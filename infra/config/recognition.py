"""Who recognises speech in an environment, and how many streams a task of it takes.

The names of options are those of Transcribe's own request, and the fields of `Allowed` those of
the service's setting TRANSCRIBE_ALLOWED, so that what is written here is what runs. What is checked
here is what is easily got wrong; the service checks all of it when it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from infra.config.parts import Part, Problem
from speech.transcribe_operations import (
    MEDICAL_LANGUAGES,
    MEDICAL_OPTIONS,
    is_medical,
    operation_of,
    service_of,
)
from speech.transcribe_values import (
    START_MEDICAL_STREAM_TRANSCRIPTION,
    START_STREAM_TRANSCRIPTION,
    LanguageCode,
    PartialResultsStability,
    TranscriptFormat,
)

#: Streams that a whole vCPU recognises with the embedded engine. The service counts the machine's
#: processors, and on Fargate that machine is larger than what the task gets of it.
POCKETSPHINX_STREAMS_PER_VCPU: Final = 3
#: Streams to Transcribe that a whole vCPU carries: 0.1 s of audio took 162 us of a core where that
#: was measured, which makes 600; a third is left for viewers and for slower cores. Not yet measured
#: on Fargate.
TRANSCRIBE_STREAMS_PER_VCPU: Final = 400
#: Streams over WebSocket that an account has at once in a region, unless it has asked for more.
#: Source: AWS General Reference, "Amazon Transcribe endpoints and quotas".
TRANSCRIBE_STREAMS: Final = 25
#: Streams that an account may start in a second, likewise. Same source.
TRANSCRIBE_STARTS_PER_SECOND: Final = 25
#: Where Transcribe answers WebSockets.
TRANSCRIBE_PORT: Final = 8443

#: What a stream may be asked for besides its language. Source: API reference of
#: StartStreamTranscription; the names of its headers without `x-amzn-transcribe-`. The last make a
#: stream one of Transcribe Medical (StartMedicalStreamTranscription), which has fewer.
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

_IDENTIFICATION: Final = ("identify-language", "identify-multiple-languages")
_SWITCHES: Final = (*_IDENTIFICATION, "show-speaker-label")
_PARAMETERS: Final = START_STREAM_TRANSCRIPTION.parameters
_LANGUAGES: Final = frozenset[str](get_args(LanguageCode))
_WINDOW: Final = _PARAMETERS["session-resume-window"]


class Pocketsphinx(Part):
    """The embedded engine: US English, without another service and its price."""

    kind: Literal["pocketsphinx"] = "pocketsphinx"

    def streams(self, cpu: int, _tasks: int) -> int | None:
        """Return how many streams a task of `cpu` units takes."""
        return max(1, POCKETSPHINX_STREAMS_PER_VCPU * cpu // 1024)


class Scripted(Part):
    """A stand-in that listens to nobody, for measurements."""

    kind: Literal["scripted"] = "scripted"

    def streams(self, _cpu: int, _tasks: int) -> int | None:
        """Return None: the service has its own bound."""
        return None


class Allowed(Part):
    """What speakers may choose of Transcribe. Nothing but the language, unless it is listed."""

    #: Such as `en-US`; empty allows every language of Transcribe.
    languages: tuple[str, ...] = ()
    identify_language: bool = False
    #: Names of what you have made in the account, in the region in which Transcribe is called.
    vocabularies: tuple[str, ...] = ()
    vocabulary_filters: tuple[str, ...] = ()
    language_models: tuple[str, ...] = ()
    speaker_labels: bool = False
    two_channels: bool = False
    stability: tuple[PartialResultsStability, ...] = ()
    pii: tuple[Literal["redact", "identify"], ...] = ()
    transcript_format: tuple[TranscriptFormat, ...] = ()
    #: The longest that a speaker may choose, in minutes; 0: none.
    session_resume_window: int = 0
    #: Transcribe Medical, of any specialty and type; it costs three times as much.
    medical: bool = False

    def problems(self) -> Iterator[Problem]:
        """Yield names that Transcribe could not have."""
        for field in ("vocabularies", "vocabulary_filters", "language_models"):
            names: tuple[str, ...] = getattr(self, field)
            for name in names:
                if _PARAMETERS["vocabulary-name"].violated(name):
                    yield field, f"{name!r} is not a name that Transcribe could have"
        for language in self.languages:
            if language not in _LANGUAGES:
                yield "languages", f"Transcribe has no language {language!r}"
        if not 0 <= self.session_resume_window <= _WINDOW.most:
            yield "session_resume_window", f"give 0 to {_WINDOW.most} minutes"


class Transcribe(Part):
    """Amazon Transcribe streaming. Charged by the second, at least 15 of them for a stream."""

    kind: Literal["transcribe"] = "transcribe"
    #: Where the speech is sent; None: the environment's own region.
    region: str | None = None
    #: What every stream gets unless its speaker chooses otherwise, by Transcribe's own `OPTIONS`.
    options: Mapping[str, str] = {}
    allowed: Allowed = Allowed()
    #: Streams at once, of all tasks together: this environment's share of the account's quota.
    quota: int = TRANSCRIBE_STREAMS
    #: Streams that may be started in a second: the account's other quota.
    starts_per_second: int = TRANSCRIBE_STARTS_PER_SECOND

    @property
    def medical(self) -> Literal["never", "allowed", "always"]:
        """Whether streams are those of Transcribe Medical."""
        if is_medical(self.options):
            return "always"
        return "allowed" if self.allowed.medical else "never"

    def problems(self) -> Iterator[Problem]:
        """Yield what the service would not start with, or every stream would be refused for."""
        yield from super().problems()
        yield from self._option_problems()
        if self.medical != "never":
            yield from self._medical_problems()
        if self.quota < 1:
            yield "quota", "give at least 1 stream"
        if self.starts_per_second < 1:
            yield "starts_per_second", "give at least 1 stream"

    def _option_problems(self) -> Iterator[Problem]:
        """Yield options that no stream could begin with."""
        operation, service = operation_of(self.options), service_of(self.options)
        for name, value in self.options.items():
            if name not in OPTIONS:
                yield "options", f"{name!r} is none of {', '.join(OPTIONS)}"
            elif name not in operation.parameters:
                yield "options", f"{service} has no option {name}"
            elif name in _SWITCHES and value not in {"true", "false"}:
                yield "options", f"{name} is true or false, not {value!r}"
            elif problem := operation.parameters[name].violated(value):
                yield "options", f"{name} cannot be {value!r}: {problem}"
        for name in OPTIONS:
            needed = name in operation.parameters and operation.parameters[name].required
            if needed and name not in self.options:
                yield "options", f"{service} needs {name}"
        languages = set(self.options.get("language-options", "").split(","))
        identified = any(self.options.get(name) == "true" for name in _IDENTIFICATION)
        if identified and len(languages) < 2:  # noqa: PLR2004 - there is nothing to choose
            yield "options", "to identify a language takes language-options, two at least"

    def _medical_problems(self) -> Iterator[Problem]:
        """Yield what keeps medical streams from beginning."""
        if self.allowed.languages and MEDICAL_LANGUAGES.isdisjoint(self.allowed.languages):
            known = ", ".join(sorted(MEDICAL_LANGUAGES))
            yield "allowed.languages", f"Transcribe Medical needs one of {known}"
        if self.medical == "allowed":
            parameters = START_MEDICAL_STREAM_TRANSCRIPTION.parameters
            for name, value in self.options.items():
                if name not in parameters or parameters[name].violated(value):
                    problem = f"Transcribe Medical takes no {name} {value}, which is an option"
                    yield "allowed.medical", problem

    def streams(self, cpu: int, tasks: int) -> int | None:
        """Return how many streams a task of `cpu` units takes, where there are up to `tasks`."""
        return max(1, min(self.quota // tasks, TRANSCRIBE_STREAMS_PER_VCPU * cpu // 1024))

    def starts(self, tasks: int) -> float:
        """Return how many streams each of up to `tasks` starts in a second.

        Tasks do not know of each other, so each keeps to its share, and together to four fifths:
        others in the account start streams, too.
        """
        return max(1.0, 0.8 * self.starts_per_second / tasks)


Engine = Annotated[Pocketsphinx | Scripted | Transcribe, Field(discriminator="kind")]
