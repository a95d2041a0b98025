"""Compute when to send a frame, and when to reconnect. Pure."""

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
        """Return how long to wait before that frame may go, 0 when it is late."""
        return max(0.0, self.due(sent) - now)


def backoff(failures: int, draw: float, *, retry_after: float | None = None) -> float:
    """Return the seconds to wait after so many failures in a row (1 or more).

    Half a second, doubled each time up to 30, of which `draw` (0 to 1) takes up to a half
    away, so that clients do not come back all at once. Never sooner than `retry_after`.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog ("equal jitter").
    """
    ceiling = min(30.0, 0.5 * 2.0 ** min(failures - 1, 10))
    return max(ceiling * (1.0 - draw / 2.0), retry_after or 0.0)
