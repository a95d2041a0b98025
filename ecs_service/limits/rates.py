"""A rate limit for each of many keys.

This is the generic cell rate algorithm (ITU-T I.371), a token bucket of `burst` tokens that gains
`per_second` of them. It stores one number for each key: the time at which the bucket is full again.
A key whose time has passed needs no entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True, slots=True)
class TokenRate:
    """A rate: `burst` events at once, and `per_second` on average."""

    per_second: float
    burst: int


class RateLimit:
    """Keeps a token bucket for each of at most `most` keys.

    Beyond that the least recently used key is forgotten, which gives it a full bucket. So memory
    stays bounded when there are many keys, and the limit still holds for a few very active ones.
    """

    def __init__(
        self, rate: TokenRate, *, most: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._interval = 1.0 / rate.per_second
        self._budget = rate.burst * self._interval  # seconds that it takes to be whole again
        self._most = most
        self._clock = clock
        self._whole_at: dict[str, float] = {}  # the longest unused first

    def __len__(self) -> int:
        """Return the number of keys that have an entry."""
        return len(self._whole_at)

    def wait(self, key: str) -> float:
        """Return after how many seconds the key has a token; 0 if now."""
        behind = self._whole_at.get(key, 0.0) - self._clock()
        # A billionth of an interval allows for the rounding of sums of floats.
        wait = behind + self._interval - self._budget
        return wait if wait > self._interval * 1e-9 else 0.0

    def spend(self, key: str) -> None:
        """Take a token; if there is less than one, take that part."""
        now = self._clock()
        whole_at = max(self._whole_at.pop(key, 0.0), now) + self._interval
        self._whole_at[key] = min(whole_at, now + self._budget)
        if len(self._whole_at) > self._most:
            del self._whole_at[next(iter(self._whole_at))]

    def take(self, key: str) -> float:
        """Take a token and return 0; if there is none, return after how many seconds there is."""
        wait = self.wait(key)
        if not wait:
            self.spend(key)
        return wait
