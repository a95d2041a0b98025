"""Whose failure is it: that of one recording, or of everything that recordings need?

An outage fails whatever comes; a strange recording fails alone, and again. So:

* a recording that fails again is its own failure where others have succeeded since it first
  failed, or where no other one fails;
* failures of different recordings, three or more without a success in between, are an outage. Two
  are not: where one recording of ten is bad, two in a row are common;
* one that fails again in an outage, although others have succeeded since it first failed, proves
  neither, and does not make the outage last;
* after a single first failure nobody knows.

No input or output: callers report how attempts ended, and act on what they learn.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

#: So many failures in a row are an outage, if they are not all of one recording.
OUTAGE: Final = 3
#: With so many others that fail, a recording that has failed before is not to blame for sure.
OTHERS: Final = 2
#: Failures longer ago say nothing of now, seconds; a job is tried again much sooner.
MEMORY: Final = 3600.0
#: Recordings that are remembered, those that failed last.
REMEMBERED: Final = 1000


class Whose(Enum):
    """Whose failure an attempt's failure is."""

    UNKNOWN = auto()
    #: The recording's: others succeed, or at least do not fail.
    RECORDING = auto()
    #: Everybody's: the next recording is likely to fail, too.
    OUTAGE = auto()
    #: Others fail as well, but too few, or this one failed before, while they succeeded.
    EITHER = auto()


@dataclass(slots=True)
class _Suspect:
    """A recording that has failed and has not succeeded since."""

    #: Successes of others up to its first failure.
    successes: int
    failures: int = 0
    #: When it failed last, by the clock.
    failed_at: float = 0.0


class Blame:
    """Judges failures by what happens to other recordings. See the module.

    Args:
        clock: monotonic, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._successes = 0
        #: In the order of their last failures.
        self._suspects: OrderedDict[Hashable, _Suspect] = OrderedDict()
        #: How often recordings failed since the last success, and not by their own fault.
        self._in_a_row: Counter[Hashable] = Counter()

    @property
    def in_a_row(self) -> int:
        """How many failures there were since the last success, those of a single one as one."""
        self._forget_old()
        return self._in_a_row.total() if len(self._in_a_row) > 1 else len(self._in_a_row)

    def succeeded(self, recording: Hashable) -> None:
        """Note that an attempt at a recording succeeded."""
        self._successes += 1
        self._in_a_row.clear()
        self._suspects.pop(recording, None)

    def failed(self, recording: Hashable) -> Whose:
        """Note that an attempt at a recording failed; return whose failure that is."""
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
            return Whose.RECORDING if others < OTHERS else Whose.EITHER
        if again and not others:
            del self._in_a_row[recording]
            return Whose.RECORDING
        self._in_a_row[recording] += 1
        if not others:
            return Whose.UNKNOWN
        return Whose.OUTAGE if self.in_a_row >= OUTAGE else Whose.EITHER

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
