"""Compute when to send a frame. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from speech.pcm import PcmFormat


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
