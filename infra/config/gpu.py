"""Machines with a GPU in an environment: their image, number and schedule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from infra.aws import cron
from infra.aws.cron import InvalidCron
from infra.config import gpu_settings
from infra.config.formats import IMAGE, LogDays
from infra.config.parts import Check, ConfigPart, Problem, at_least, within
from infra.wording import suggest
from transcripts.recordings.machines import ASSUMED_SPEED

#: An instance family with a GPU, and a size, in EC2's notation.
_GPU_INSTANCE: Final = re.compile(r"(?:gr?|p)\d[a-z]*(?:-[a-z]*\d+)?\.(?:large|\d*xlarge|metal)")
_FOLDER: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")

#: The most minutes that an alarm can look back, half a day.
_ALARM_MINUTES: Final = 720
#: How long jobs may be held back at most; SQS keeps them for 14 days.
LONGEST_HOLD: Final = timedelta(days=7)


class GpuConfig(ConfigPart):
    """Machines with a GPU that transcribe recordings; none run without work."""

    #: A folder with a Dockerfile, or an image with tag or digest.
    image: str | None = None
    #: The transcriber of an image that is built from a folder: faster-whisper, for an image of some
    #: 2.5 GB; or WhisperX, which labels speakers, for one of some 12 GB.
    transcriber: Literal["faster-whisper", "whisperx"] = "faster-whisper"
    #: The model in such an image: a name that faster-whisper knows, or a repository in the Hugging
    #: Face hub. None: large-v3-turbo, and for WhisperX large-v3.
    model: str | None = None
    #: Languages whose alignment models are in such an image. Only WhisperX aligns words; None:
    #: English for WhisperX.
    alignment_languages: tuple[str, ...] | None = None
    #: The server's settings (`python -m gpu_server --help`), except those that the stack sets.
    settings: Mapping[str, str] = {}
    #: In order of preference. Each needs one GPU that holds the model.
    instance_types: tuple[str, ...] = ("g6.xlarge", "g5.xlarge", "g4dn.xlarge")
    maximum_instances: Annotated[int, at_least(1, ", or leave gpu out")] = 1
    spot: bool = True
    #: Number of waiting jobs per machine before another machine starts.
    jobs_per_instance: Annotated[int, at_least(1)] = 50
    #: The first machine starts when this many jobs wait, or when one has waited this many minutes.
    #: Each start costs some minutes of loading, so larger numbers are cheaper and slower.
    jobs_to_start: Annotated[int, at_least(1)] = 1
    longest_wait_minutes: Annotated[int, within(0, _ALARM_MINUTES, " minutes")] = 0
    #: Expected seconds of audio that a machine transcribes in a second. Recordings that would take
    #: more than some minutes are queued at once. `make cost` uses it, too.
    speed: Annotated[float, Check(lambda speed: speed > 0, "give more than 0 seconds")] = (
        ASSUMED_SPEED
    )
    #: Minutes without work after which a machine is stopped.
    idle_minutes: Annotated[int, within(1, _ALARM_MINUTES, " minutes")] = 10
    #: When machines may start for waiting jobs, as an EventBridge cron expression in UTC such as
    #: `cron(0 0 * * ? *)`. They then run until the queue is empty. None: at any time.
    batch_at: str | None = None
    #: When one machine is kept warm, as EventBridge cron expressions in UTC.
    warm_from: str | None = None
    warm_until: str | None = None
    log_days: LogDays = 14

    def problems(self) -> Iterator[Problem]:
        """Report machines that could not start, or would never stop."""
        yield from super().problems()
        if not self.image:
            yield "image", "is missing: give the folder of a Dockerfile, or an image"
        elif not (IMAGE if ":" in self.image else _FOLDER).fullmatch(self.image):
            yield "image", f"{self.image!r} is neither a folder nor an image with a tag or digest"
        if not self.instance_types:
            yield "instance_types", "give at least one"
        for kind in self.instance_types:
            if not _GPU_INSTANCE.fullmatch(kind):
                hint = suggest(kind, GpuConfig.model_fields["instance_types"].default)
                yield "instance_types", f"{kind!r} is not an instance type with a GPU: {hint}"
        yield from self._image_problems()
        if self.jobs_to_start > 1 and not self.longest_wait_minutes and self.batch_at is None:
            yield "longest_wait_minutes", "is missing: without it no job waits for others"
        yield from self._schedule_problems()

    def _image_problems(self) -> Iterator[Problem]:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?", self.baked_model):
            yield "model", f"{self.model!r} is not the name of a model, such as large-v3-turbo"
        if self.alignment_languages and self.transcriber != "whisperx":
            yield "alignment_languages", "only WhisperX aligns words: set transcriber to whisperx"
        for language in self.baked_languages:
            if not re.fullmatch(r"[a-z]{2,3}", language):
                yield "alignment_languages", f"{language!r} is not a code such as en"
        folder = ":" not in (self.image or "")
        built_for = self.transcriber if folder else None
        for name, text in gpu_settings.problems(self.settings, built_for=built_for):
            yield f"settings.{name}", text

    @property
    def baked_model(self) -> str:
        """The Whisper model in an image that is built from a folder."""
        default = "large-v3" if self.transcriber == "whisperx" else "large-v3-turbo"
        return default if self.model is None else self.model

    @property
    def baked_languages(self) -> tuple[str, ...]:
        """The languages whose alignment models are in an image that is built from a folder."""
        default = ("en",) if self.transcriber == "whisperx" else ()
        return default if self.alignment_languages is None else self.alignment_languages

    def _schedule_problems(self) -> Iterator[Problem]:
        if (self.warm_from is None) != (self.warm_until is None):
            yield "warm_from", "what is started on a schedule has to be stopped on one: give both"
        for field in ("warm_from", "warm_until"):
            expression: str | None = getattr(self, field)
            try:
                if expression is not None:
                    cron.parse(expression)
            except InvalidCron as error:
                yield field, str(error)
        yield from self._batch_problems()

    def _batch_problems(self) -> Iterator[Problem]:
        """Yield a schedule of starts that holds jobs for too long, or contradicts other fields."""
        try:
            longest = self.longest_hold
        except InvalidCron as error:
            yield "batch_at", str(error)
            return
        if longest > LONGEST_HOLD:
            yield "batch_at", f"jobs would wait for up to {longest.days} days: give one each week"
        if self.batch_at is not None and (self.jobs_to_start > 1 or self.longest_wait_minutes):
            yield (
                "batch_at",
                "begins all that waits: leave out jobs_to_start and longest_wait_minutes",
            )

    @property
    def longest_hold(self) -> timedelta:
        """How long a job may wait because machines start at set times only.

        Raises:
            InvalidCron: `batch_at` is no expression, or stops firing some day.
        """
        if self.batch_at is None:
            return timedelta(0)
        return cron.parse(self.batch_at).longest_pause()
