"""For how long the server is to be kept up without work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

#: Nobody keeps a machine up longer than this by one request.
LONGEST: Final = timedelta(days=1)


@dataclass(slots=True)
class Warmth:
    """Remembers until when the server was asked to stay. `now` is the clock."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    until: datetime | None = None

    def keep_until(self, until: datetime) -> datetime:
        """Stay until then at least, at most for a day; return until when it is going to stay."""
        until = min(until, self.now() + LONGEST)
        if self.until is None or until > self.until:
            self.until = until
        return self.until

    @property
    def is_kept(self) -> bool:
        """Whether it is to stay now."""
        return self.until is not None and self.now() < self.until

    def may_exit(self, idle_seconds: float, patience: float | None) -> bool:
        """Return whether the server may end, having been idle for so many seconds."""
        return patience is not None and idle_seconds >= patience and not self.is_kept
