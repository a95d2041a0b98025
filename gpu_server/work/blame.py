"""Decides what caused a failure: one recording, or an outage of what all recordings need.

An outage makes every recording fail; a bad recording fails alone, and again. Therefore:

* a recording that fails again is the cause itself if others have succeeded since it first failed,
  or if no other one fails;
* three or more failures of different recordings without a success in between are an outage. Two
  are not: where one recording of ten is bad, two in a row are common;
* a recording that fails again in an outage, although others have succeeded since it first failed,
  proves neither and does not prolong the outage;
* a single first failure proves nothing.

The module does no I/O: callers report how attempts ended, and act on the answer.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from gpu_server.problems import Cause

#: This many failures in a row are an outage, unless all are of one recording.
OUTAGE: Final = 3
#: While this many other recordings fail, one that failed before is not the certain cause.
OTHERS: Final = 2
#: Older failures are forgotten, seconds; a job is tried again much sooner.
MEMORY: Final = 3600.0
#: The most failed recordings that are remembered.
REMEMBERED: Final = 1000


@dataclass(slots=True)
class _Suspect:
    """A recording that has failed and has not succeeded since."""

    #: Successes of others up to its first failure.
    successes: int
    failures: int = 0
    #: When it failed last, by the clock.
    failed_at: float = 0.0


class Blame:
    """Judges a failure by what happens to other recordings; see the module.

    Args:
        clock: monotonic, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._successes = 0
        #: In the order of their last failures.
        self._suspects: OrderedDict[Hashable, _Suspect] = OrderedDict()
        #: Failures since the last success, without those that a recording caused itself.
        self._in_a_row: Counter[Hashable] = Counter()

    @property
    def in_a_row(self) -> int:
        """Failures in a row, for outages; those of a single recording count as one."""
        self._forget_old()
        return self._in_a_row.total() if len(self._in_a_row) > 1 else len(self._in_a_row)

    def record_success(self, recording: Hashable) -> None:
        """Record that an attempt at a recording succeeded."""
        self._successes += 1
        self._in_a_row.clear()
        self._suspects.pop(recording, None)

    def record_failure(self, recording: Hashable) -> Cause:
        """Record that an attempt at a recording failed; return the cause."""
        self._forget_old()
        suspect = self._suspects.setdefault(recording, _Suspect(self._successes))
        suspect.failures += 1
        suspect.failed_at = self._clock()
        self._suspects.move_to_end(recording)
        if len(self._suspects) > REMEMBERED:
            self._forget(next(iter(self._suspects)))
        others = len(self._in_a_row.keys() - {recording})
        again = suspect.failures > 1
        if again and self._successes > suspect.successes:
            del self._in_a_row[recording]
            return Cause.RECORDING if others < OTHERS else Cause.EITHER
        if again and not others:
            del self._in_a_row[recording]
            return Cause.RECORDING
        self._in_a_row[recording] += 1
        if not others:
            return Cause.UNKNOWN
        return Cause.OUTAGE if self.in_a_row >= OUTAGE else Cause.EITHER

    def _forget_old(self) -> None:
        now = self._clock()
        while self._suspects:
            recording, oldest = next(iter(self._suspects.items()))
            if now - oldest.failed_at < MEMORY:
                return
            self._forget(recording)

    def _forget(self, recording: Hashable) -> None:
        del self._suspects[recording]
        del self._in_a_row[recording]
