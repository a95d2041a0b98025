"""Lambda functions of an environment: canary, dependencies, concurrency and logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from infra.config.formats import log_days_problems
from infra.config.parts import ConfigPart, Problem


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
    #: Concurrent invocations of the transcript processor, 2 to 1000.
    processor_concurrency: int = 10
    log_days: int = 14
    #: Minutes between the batch worker's regular checks of the queue of jobs. A job that the router
    #: queues wakes it at once; a regular check finds other jobs, and stops idle machines.
    batch_worker_minutes: int = 1

    def problems(self) -> Iterator[Problem]:
        """Yield values that AWS would refuse."""
        if not 2 <= self.processor_concurrency <= 1000:  # noqa: PLR2004 - Lambda's limits
            yield "processor_concurrency", "an event source takes 2 to 1000 invocations at once"
        yield from log_days_problems(self.log_days)
        if not 1 <= self.batch_worker_minutes <= 60:  # noqa: PLR2004 - an hour late is too late
            yield "batch_worker_minutes", "give 1 to 60 minutes"
