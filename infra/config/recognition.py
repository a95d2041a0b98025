"""The speech engine of an environment, and how many streams a task takes with it.

Options have the names of Transcribe's own request, and the fields of `Allowed` those of the
service's setting TRANSCRIBE_ALLOWED, so that they pass through unchanged. This module checks what
is easily wrong; the service checks everything when it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from infra.config.parts import ConfigPart, Problem, at_least, within
from speech.engines.names import STREAMS_PER_CORE, EmbeddedName
from speech.transcribe_operations import (
    MEDICAL_LANGUAGES,
    OPTIONS,
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

#: Streams to Transcribe per vCPU. 0.1 s of audio took 162 us of a core where it was measured, which
#: permits 600; a third is left for viewers and slower cores. Not yet measured on Fargate.
TRANSCRIBE_STREAMS_PER_VCPU: Final = 400
#: Default quota of an account for concurrent streams over WebSocket in a region.
#: Source: AWS General Reference, "Amazon Transcribe endpoints and quotas".
TRANSCRIBE_STREAMS: Final = 25
#: Default quota of an account for streams started in a second. Same source.
TRANSCRIBE_STARTS_PER_SECOND: Final = 25
#: Transcribe's port for WebSockets.
TRANSCRIBE_PORT: Final = 8443

_IDENTIFICATION: Final = ("identify-language", "identify-multiple-languages")
_SWITCHES: Final = (*_IDENTIFICATION, "show-speaker-label")
_PARAMETERS: Final = START_STREAM_TRANSCRIPTION.parameters
_LANGUAGES: Final = frozenset[str](get_args(LanguageCode))
_WINDOW: Final = _PARAMETERS["session-resume-window"]


class PlainEngineConfig(ConfigPart):
    """An engine that runs in the task itself and has no options here."""

    #: By default the best embedded engine, which costs nothing by the minute.
    kind: Literal[EmbeddedName, "scripted"] = "moonshine"

    def streams(self, cpu: int, _tasks: int) -> int | None:
        """Return how many streams a task of `cpu` units takes; None leaves it to the service.

        The service's own default counts the machine's processors, and on Fargate the machine is
        larger than the task's share of it.
        """
        per_core = STREAMS_PER_CORE.get(self.kind)
        return None if per_core is None else max(1, per_core * cpu // 1024)


class Allowed(ConfigPart):
    """The options of Transcribe that speakers may choose; by default the language only."""

    #: Such as `en-US`; empty allows every language of Transcribe.
    languages: tuple[str, ...] = ()
    identify_language: bool = False
    #: Names of resources that you have made in the account, in the region of Transcribe.
    vocabularies: tuple[str, ...] = ()
    vocabulary_filters: tuple[str, ...] = ()
    language_models: tuple[str, ...] = ()
    speaker_labels: bool = False
    two_channels: bool = False
    stability: tuple[PartialResultsStability, ...] = ()
    pii: tuple[Literal["redact", "identify"], ...] = ()
    transcript_format: tuple[TranscriptFormat, ...] = ()
    #: The longest that a speaker may choose, minutes; 0: none.
    session_resume_window: Annotated[int, within(0, _WINDOW.most, " minutes")] = 0
    #: Transcribe Medical, of any specialty and type; it costs three times as much.
    medical: bool = False

    def problems(self) -> Iterator[Problem]:
        """Report names that Transcribe would refuse."""
        yield from super().problems()
        for field in ("vocabularies", "vocabulary_filters", "language_models"):
            names: tuple[str, ...] = getattr(self, field)
            for name in names:
                if _PARAMETERS["vocabulary-name"].violated(name):
                    yield field, f"{name!r} is not a name that Transcribe could have"
        for language in self.languages:
            if language not in _LANGUAGES:
                yield "languages", f"Transcribe has no language {language!r}"


class TranscribeConfig(ConfigPart):
    """Amazon Transcribe streaming. Charged by the second, at least 15 seconds a stream."""

    kind: Literal["transcribe"] = "transcribe"
    #: The region that recognises; None: the environment's own.
    region: str | None = None
    #: Default options of every stream, by the names in `OPTIONS`; speakers may override them.
    options: Mapping[str, str] = {}
    allowed: Allowed = Allowed()
    #: Concurrent streams of all tasks: this environment's share of the account's quota.
    quota: Annotated[int, at_least(1, " stream")] = TRANSCRIBE_STREAMS
    #: Streams started in a second: the account's other quota.
    starts_per_second: Annotated[int, at_least(1, " stream")] = TRANSCRIBE_STARTS_PER_SECOND

    @property
    def medical(self) -> Literal["never", "allowed", "always"]:
        """Whether streams are those of Transcribe Medical."""
        if is_medical(self.options):
            return "always"
        return "allowed" if self.allowed.medical else "never"

    def problems(self) -> Iterator[Problem]:
        """Report values with which the service would not start, or no stream would succeed."""
        yield from super().problems()
        yield from self._option_problems()
        if self.medical != "never":
            yield from self._medical_problems()

    def _option_problems(self) -> Iterator[Problem]:
        """Yield default options with which no stream could start."""
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
        """Yield values with which no medical stream could start."""
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
        """Return how many streams each of up to `tasks` tasks of `cpu` units takes."""
        return max(1, min(self.quota // tasks, TRANSCRIBE_STREAMS_PER_VCPU * cpu // 1024))

    def starts(self, tasks: int) -> float:
        """Return how many streams each of up to `tasks` tasks starts in a second.

        Tasks do not coordinate, so each keeps to its share. Together they use four fifths of the
        quota, because other programs in the account start streams, too.
        """
        return max(1.0, 0.8 * self.starts_per_second / tasks)


Engine = Annotated[PlainEngineConfig | TranscribeConfig, Field(discriminator="kind")]
