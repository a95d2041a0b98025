"""Settings of an environment's Lambda functions: canary, layer, concurrency and logs."""

from __future__ import annotations

from typing import Annotated, Literal

from infra.config.formats import LogDays
from infra.config.parts import ConfigPart, within


class Canary(ConfigPart):
    """A gradual switch to a new version: first a tenth of the calls, then all."""

    minutes: Literal[5, 10, 15, 30] = 5


class FunctionsConfig(ConfigPart):
    """Settings that all Lambda functions share."""

    #: None sends every call to a new version at once.
    canary: Canary | None
    #: Deploy the locked dependencies as a layer (built for arm64). Without it the runtime has to
    #: have them, like the interpreter of the embedded emulator.
    with_dependencies: bool = True
    #: Concurrent invocations of the transcript processor, within the limits of an event source.
    processor_concurrency: Annotated[int, within(2, 1000, " invocations at once")] = 10
    log_days: LogDays = 14
    #: Minutes between the batch worker's regular checks of the queue of jobs. A job that the router
    #: queues wakes it at once; a regular check finds other jobs, and stops idle machines.
    batch_worker_minutes: Annotated[int, within(1, 60, " minutes")] = 1
