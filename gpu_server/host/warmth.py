"""For how long the server is to be kept up without work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from transcripts.recordings.machines import LONGEST_WARMTH


@dataclass(slots=True)
class Warmth:
    """Remembers until when the server was asked to stay. `now` is the clock."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    until: datetime | None = None

    def keep(self, until: datetime) -> datetime:
        """Stay until then at least, at most for a day; return until when it is going to stay."""
        until = min(until, self.now() + LONGEST_WARMTH)
        if self.until is None or until > self.until:
            self.until = until
        return self.until

    @property
    def kept(self) -> bool:
        """Whether it is to stay now."""
        return self.until is not None and self.now() < self.until

    def may_end(self, idle_seconds: float, patience: float | None) -> bool:
        """Return whether the server may end, having been idle for so many seconds."""
        return patience is not None and idle_seconds >= patience and not self.kept
