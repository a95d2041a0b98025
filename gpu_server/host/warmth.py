"""Keeps the server running without work for as long as somebody asked for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from transcripts.recordings.machines import LONGEST_WARMTH


@dataclass(slots=True)
class Warmth:
    """The time until which the server was asked to stay up. `now` is the clock."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    until: datetime | None = None

    def keep_until(self, until: datetime) -> datetime:
        """Stay up until `until`, but a day at most; return the time until which it now stays up."""
        until = min(until, self.now() + LONGEST_WARMTH)
        if self.until is None or until > self.until:
            self.until = until
        return self.until

    @property
    def is_kept(self) -> bool:
        """Whether the server has to stay up now."""
        return self.until is not None and self.now() < self.until

    def may_exit(self, idle_seconds: float, patience: float | None) -> bool:
        """Return whether the server may exit, given its idle time and `IDLE_EXIT_SECONDS`."""
        return patience is not None and idle_seconds >= patience and not self.is_kept
