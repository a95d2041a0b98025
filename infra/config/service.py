"""The tasks of the WebSocket service: size, number, slots, viewers and engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from infra.config.formats import IMAGE, LogDays
from infra.config.parts import Check, ConfigPart, Problem, at_least, within
from infra.config.recognition import Engine, PlainEngineConfig, TranscribeConfig
from infra.config.translation import TranslationConfig
from speech.engines.names import STREAMS_PER_CORE

#: Memory of a Fargate task by its CPU units, MiB: least, most, step.
#: Source: Amazon ECS Developer Guide, "Task CPU and memory".
FARGATE_MEMORY: Final[Mapping[int, tuple[int, int, int]]] = {
    256: (512, 2048, 512),
    512: (1024, 4096, 1024),
    1024: (2048, 8192, 1024),
    2048: (4096, 16_384, 1024),
    4096: (8192, 30_720, 1024),
}


#: Seconds that ECS waits at most between SIGTERM and SIGKILL on Fargate.
_MAX_STOP_SECONDS: Final = 120
#: Seconds that the service needs beyond its drain to close files and connections.
_STOP_MARGIN_SECONDS: Final = 10
#: Bytes of a task's memory per viewer; 25 to 31 kB were measured.
VIEWER_BYTES: Final = 31_000
#: A Fargate task can open 65,535 files, and a viewer takes one.
MOST_VIEWERS: Final = 60_000
#: MiB of a t4g.nano's 512 that the service may use; the system, Docker and ECS's agent need the
#: rest (`NoLoadBalancer`).
MACHINE_MEMORY_MIB: Final = 320


class ServiceConfig(ConfigPart):
    """The WebSocket service's tasks on Fargate, ARM64."""

    #: 1024 units are one vCPU.
    cpu: int = 256
    memory_mib: int = 512
    #: An image with tag or digest, e.g. from the pipeline; None builds ecs_service/Dockerfile.
    image: Annotated[
        str | None, Check(IMAGE.fullmatch, "{!r} is not an image with a tag or digest")
    ] = None
    engine: Engine = PlainEngineConfig()
    #: None leaves translation out.
    translation: TranslationConfig | None = None
    #: Concurrent streams of a task; None leaves it to the engine.
    slots: Annotated[int | None, at_least(1, ", or null")] = None
    #: Concurrent viewers of a task; None: as many as a quarter of its memory and its open files
    #: permit.
    viewers: int | None = None
    #: Concurrent viewers of one conversation and task; None: half of all.
    viewers_per_conversation: int | None = None
    #: Seconds of audio after which a stream ends; None: no limit.
    max_stream_seconds: Annotated[
        float | None, Check(lambda seconds: seconds > 0, "give more than 0 seconds, or null")
    ] = None
    #: Least and most tasks. Equal numbers switch autoscaling off.
    minimum_tasks: int = 1
    maximum_tasks: Annotated[int, at_least(1)] = 1
    #: Number of tasks on demand before Spot is used; None: no Spot.
    on_demand_base: int | None = None
    #: Seconds that a task has after SIGTERM to end streams and send finals to the queue.
    drain_seconds: Annotated[
        int,
        within(
            1,
            _MAX_STOP_SECONDS - _STOP_MARGIN_SECONDS,
            f": Fargate kills after {_MAX_STOP_SECONDS} s",
        ),
    ] = 25
    log_days: LogDays = 14

    def problems(self) -> Iterator[Problem]:
        """Report values that ECS or Transcribe would refuse, or that would lose finals."""
        yield from super().problems()
        yield from self._size_problems()
        yield from self._viewer_problems()
        yield from self._quota_problems()
        if not 1 <= self.minimum_tasks <= self.maximum_tasks:
            yield "minimum_tasks", "give at least 1, and not more than maximum_tasks"
        if self.on_demand_base is not None and not 0 <= self.on_demand_base <= self.minimum_tasks:
            yield "on_demand_base", "give 0 to minimum_tasks, or null for no Spot"

    def _size_problems(self) -> Iterator[Problem]:
        sizes = FARGATE_MEMORY.get(self.cpu)
        if sizes is None:
            yield "cpu", f"Fargate has {', '.join(map(str, FARGATE_MEMORY))} units, not {self.cpu}"
        if not any(
            least <= self.memory_mib <= most and self.memory_mib % step == 0
            for least, most, step in ([sizes] if sizes else FARGATE_MEMORY.values())
        ):
            least, most, step = sizes or (512, 30_720, 512)
            units = f"{self.cpu} CPU units" if sizes else "as many CPU units as they need"
            yield "memory_mib", f"with {units}: {least} to {most} MiB in steps of {step}"

    def _viewer_problems(self) -> Iterator[Problem]:
        """Yield numbers of viewers that exceed the memory, or admit nobody."""
        most = _viewers_in(self.memory_mib / 2)
        if self.viewers is not None and not 1 <= self.viewers <= most:
            yield "viewers", f"a task of {self.memory_mib} MiB takes 1 to {most}; or give null"
        most = self.task_viewers if self.task_viewers >= 1 else most
        each = self.viewers_per_conversation
        if each is not None and not 1 <= each <= most:
            yield "viewers_per_conversation", f"give 1 to {most}, or null"

    def _quota_problems(self) -> Iterator[Problem]:
        """Yield slots beyond Transcribe's quota, whose speakers it would refuse."""
        if not isinstance(self.engine, TranscribeConfig):
            return
        quota, most = self.engine.quota, self.maximum_tasks
        if self.slots is not None and self.slots * most > quota:
            yield (
                "slots",
                f"{self.slots} on each of up to {most} tasks are more than engine.quota, {quota}",
            )
        elif self.slots is None and most > quota >= 1:
            yield "maximum_tasks", f"more tasks than streams: engine.quota is {quota}"

    @property
    def task_slots(self) -> int | None:
        """Concurrent streams of a task; None leaves it to the service."""
        if self.slots is not None:
            return self.slots
        return self.engine.streams(self.cpu, self.maximum_tasks)

    @property
    def task_viewers(self) -> int:
        """Concurrent viewers of a task.

        The other three quarters of the memory are for the service itself (80 MB), its streams and
        their engine, and unread messages.
        """
        return _viewers_in(self.memory_mib / 4) if self.viewers is None else self.viewers

    @property
    def stop_seconds(self) -> int:
        """Seconds that ECS waits between SIGTERM and SIGKILL."""
        return self.drain_seconds + _STOP_MARGIN_SECONDS


def list_speech_services(service: ServiceConfig) -> tuple[str, ...]:
    """Return the language services that tasks call, by their names on AWS's bill."""
    translation = service.translation
    called = (
        ("Amazon Transcribe", isinstance(service.engine, TranscribeConfig)),
        ("Amazon Translate", translation is not None),
        ("Amazon Comprehend", translation is not None and translation.source == "auto"),
    )
    return tuple(name for name, chosen in called if chosen)


def machine_problems(service: ServiceConfig) -> Iterator[Problem]:
    """Report choices that one small machine cannot satisfy."""
    for field in ("cpu", "memory_mib"):
        if getattr(service, field) != ServiceConfig.model_fields[field].default:
            yield (
                f"live.service.{field}",
                "is a size of Fargate's: without a load balancer the machine is a t4g.nano",
            )
    if service.on_demand_base is not None:
        yield (
            "live.service.on_demand_base",
            "is about Spot: without a load balancer one machine runs on demand; give null",
        )
    if service.maximum_tasks > 1:
        yield "live.service.maximum_tasks", "one machine runs one task: give 1"
    if service.engine.kind in STREAMS_PER_CORE:
        yield (
            "live.service.engine",
            "too slow on a t4g.nano, which sustains a tenth of a vCPU: choose transcribe",
        )
    most = _viewers_in(MACHINE_MEMORY_MIB / 4)
    if service.task_viewers > most or (service.viewers is not None and service.viewers < 1):
        yield "live.service.viewers", f"a t4g.nano takes 1 to {most}, not {service.task_viewers}"


def _viewers_in(mebibytes: float) -> int:
    return min(MOST_VIEWERS, int(mebibytes * 2**20 / VIEWER_BYTES))
