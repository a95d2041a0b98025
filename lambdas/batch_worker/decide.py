"""Decides how many machines with a GPU should run.

The first machine is started when enough jobs wait, or when a job has waited for long enough. A
machine is paid for from its start, which takes minutes, to the end of its idle time, so a machine
for each job would cost most. The function remembers itself since when jobs wait, because the queue
reports the age of its oldest message only as a metric.

Once a machine runs, more are started at once. Machines are stopped only after there have been too
many for a while, because the queue's counts are approximate. A machine with a job in flight is
never too many, and neither is one that got recordings without the queue. A machine may have
prefetched a second job, so this counts some machines too many. ECS chooses which one ends, and busy
machines ask to be spared (`gpu_server.host.protection`).

Where machines are started at set times only, jobs wait for the next set time. From then on the
rules above hold until the queue is empty. At other times jobs start no machine, but a machine that
runs for another reason does them: because it is kept warm, or not idle for long enough yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLoad:
    """The jobs in the queue, and recordings that bypassed it."""

    waiting: int
    in_flight: int
    #: Recordings that the router gave to a server within the last `FleetLimits.idle`.
    served: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The machines as they are now."""

    desired: int
    #: Whether one is kept ready, work or not, until somebody ends that.
    kept_warm: bool = False
    #: Until when one is kept ready, work or not.
    warm_until: datetime | None = None
    #: Since when there are more than are wanted; None while there are not.
    surplus_since: datetime | None = None
    #: Since when there are jobs and no machine; None while there is either.
    waiting_since: datetime | None = None
    #: Whether a set time has come, and what waited then is not worked off yet.
    working_off: bool = False

    def is_warm(self, now: datetime) -> bool:
        """Return whether one machine is to be kept ready even without work."""
        return self.kept_warm or (self.warm_until is not None and now < self.warm_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLimits:
    """The limits and delays that the environment configures."""

    maximum: int
    #: Jobs that one machine is expected to work off before another one is started.
    jobs_per_instance: int
    #: How long machines may be too many.
    idle: timedelta
    #: The first machine is started for so many jobs,
    jobs_to_start: int = 1
    #: or for fewer when they have waited for so long.
    longest_wait: timedelta = timedelta(0)
    #: Jobs start machines at set times only.
    at_set_times: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The machines as they should be."""

    desired: int
    surplus_since: datetime | None = None
    waiting_since: datetime | None = None
    working_off: bool = False


def decide(
    load: QueueLoad, fleet: Fleet, limits: FleetLimits, now: datetime, *, work_off: bool = False
) -> Decision:
    """Return how many machines should run from now on; `work_off`: a set time has come."""
    begun = limits.at_set_times and (fleet.working_off or work_off)
    working_off = begun and bool(load.waiting or load.in_flight)
    fleet = replace(fleet, working_off=working_off)
    return replace(_number(load, fleet, limits, now), working_off=working_off)


def _number(load: QueueLoad, fleet: Fleet, limits: FleetLimits, now: datetime) -> Decision:
    wanted = min(_wanted(load, fleet, limits, now), limits.maximum)
    if fleet.desired == 0 and not fleet.is_warm(now) and wanted:
        since = fleet.waiting_since or now
        if not _is_due(load, since, limits, now):
            return Decision(desired=0, waiting_since=since)
    if wanted >= fleet.desired:
        return Decision(desired=wanted)
    since = fleet.surplus_since or now
    if fleet.desired > limits.maximum or now - since >= limits.idle:
        return Decision(desired=wanted)
    return Decision(desired=fleet.desired, surplus_since=since)


def _wanted(load: QueueLoad, fleet: Fleet, limits: FleetLimits, now: datetime) -> int:
    for_work = math.ceil((load.waiting + load.in_flight) / limits.jobs_per_instance)
    if limits.at_set_times and not fleet.working_off:
        for_work = min(for_work, fleet.desired)
    busy = min(load.in_flight or (1 if load.served else 0), fleet.desired)  # a job each, at least
    return max(for_work, busy, 1 if fleet.is_warm(now) else 0)


def _is_due(load: QueueLoad, since: datetime, limits: FleetLimits, now: datetime) -> bool:
    enough = load.waiting + load.in_flight >= limits.jobs_to_start
    return enough or now - since >= limits.longest_wait
