"""Rate limits: how often something may happen, for each of many keys.

The generic cell rate algorithm, a token bucket that needs one number a key: the moment at which the
key's budget is whole again (ITU-T I.371; the same as a bucket of `burst` tokens that gets
`per_second` of them). A key whose moment has passed is as good as unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, and `per_second` in the long run."""

    per_second: float
    burst: int


class RateLimit:
    """Keeps a budget for each key, for `most` keys at a time.

    Beyond that the key that was longest without use is forgotten, which only makes it freer. The
    limit binds a few callers that do a lot, and memory stays bounded when there are many.
    """

    def __init__(self, rate: Rate, *, most: int, clock: Callable[[], float] = monotonic) -> None:
        self._interval = 1.0 / rate.per_second
        self._budget = rate.burst * self._interval  # seconds that it takes to be whole again
        self._most = most
        self._clock = clock
        self._whole_at: dict[str, float] = {}  # the longest unused first

    def __len__(self) -> int:
        """Return how many keys are known."""
        return len(self._whole_at)

    def wait(self, key: str) -> float:
        """Return after how many seconds the key may go on; 0 if now."""
        behind = self._whole_at.get(key, 0.0) - self._clock()
        # A billionth of an interval forgives what the sums of floats are off by.
        wait = behind + self._interval - self._budget
        return wait if wait > self._interval * 1e-9 else 0.0

    def spend(self, key: str) -> None:
        """Take one from the key's budget, or what is left of it."""
        now = self._clock()
        whole_at = max(self._whole_at.pop(key, 0.0), now) + self._interval
        self._whole_at[key] = min(whole_at, now + self._budget)
        if len(self._whole_at) > self._most:
            del self._whole_at[next(iter(self._whole_at))]

    def take(self, key: str) -> float:
        """Take one if there is one; return 0, or after how many seconds there is."""
        wait = self.wait(key)
        if not wait:
            self.spend(key)
        return wait
