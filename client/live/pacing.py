"""Compute when to send a frame, and when nothing was recorded. Pure, but for the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from speech.pcm import PcmFormat

#: A frame that comes so much later than it should was late; beyond that nothing was recorded.
PAUSE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Schedule:
    """The clock of a microphone that was switched on at `start` (seconds, any clock).

    A frame is due when its last sample has been spoken. Every due time is counted from
    `start`, so that late wake-ups do not add up: what was sent late is caught up.
    """

    start: float
    format: PcmFormat

    def due(self, sent: int) -> float:
        """Return the moment at which the frame that ends with byte `sent` is complete."""
        return self.start + self.format.seconds(sent)

    def wait(self, sent: int, now: float) -> float:
        """Return how long to wait before that frame may be sent; 0 if it is late."""
        return max(0.0, self.due(sent) - now)


@dataclass(slots=True)
class PauseDetector:
    """Finds times in which nothing was recorded, as when a laptop slept."""

    format: PcmFormat
    _last: float | None = field(default=None, init=False)

    def pause_before(self, size: int, moment: float) -> float:
        """Return for how long nothing was recorded before a frame; 0 for a moment that is usual.

        Args:
            size: of the frame, bytes.
            moment: when its last sample was recorded, by a steady clock.
        """
        last, self._last = self._last, moment
        pause = 0.0 if last is None else moment - last - self.format.seconds(size)
        return pause if pause > PAUSE_SECONDS else 0.0


def steady_time() -> float:
    """Return seconds of a clock that is never set, and goes on while the machine sleeps."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # of Linux, and of macOS
        clock = getattr(time, name, None)
        if clock is not None:
            return time.clock_gettime(clock)
    return time.monotonic()
