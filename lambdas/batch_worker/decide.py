"""How many machines there are to be.

More are wanted at once. Fewer are wanted only when there have been too many for a while: a
machine takes minutes to start, and the queue's counts are approximate. Those that have a job in
hand are never too many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The queue of jobs."""

    waiting: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The machines as they are."""

    desired: int
    #: Whether one is kept ready, work or not.
    kept_warm: bool = False
    #: Since when there are more than are wanted; None while there are not.
    surplus_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the environment allows."""

    maximum: int
    #: Jobs that one machine is expected to work off before another one is started.
    jobs_per_instance: int
    #: How long machines may be too many.
    idle: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The machines as they are to be."""

    desired: int
    surplus_since: datetime | None


def decide(load: Load, fleet: Fleet, limits: Limits, now: datetime) -> Decision:
    """Return how many machines there are to be from now on."""
    wanted = min(_wanted(load, fleet, limits), limits.maximum)
    if wanted >= fleet.desired:
        return Decision(desired=wanted, surplus_since=None)
    since = fleet.surplus_since or now
    if fleet.desired > limits.maximum or now - since >= limits.idle:
        return Decision(desired=wanted, surplus_since=None)
    return Decision(desired=fleet.desired, surplus_since=since)


def _wanted(load: Load, fleet: Fleet, limits: Limits) -> int:
    for_work = math.ceil((load.waiting + load.in_flight) / limits.jobs_per_instance)
    busy = min(load.in_flight, fleet.desired)  # a machine has one job in hand at a time
    return max(for_work, busy, 1 if fleet.kept_warm else 0)
