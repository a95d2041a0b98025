"""Limits concurrent work by slots, of which no single address gets all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from foundation.addresses import network_key


@dataclass(slots=True)
class FairSlots:
    """Counts the slots that each address has taken.

    One address gets at most three quarters of the slots, so that one caller cannot keep all others
    out.
    """

    #: How many slots there are; at least 1.
    limit: int
    _taken: Counter[str] = field(init=False, default_factory=Counter)

    @property
    def most_per_address(self) -> int:
        """How many slots one address may have."""
        return max(1, self.limit - self.limit // 4)

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return self._taken.total()

    def take(self, address: str) -> bool:
        """Take a slot; return whether one was free for the address."""
        key = network_key(address) or address
        if self.taken >= self.limit or self._taken[key] >= self.most_per_address:
            return False
        self._taken[key] += 1
        return True

    def release(self, address: str) -> None:
        """Release a slot that was taken."""
        key = network_key(address) or address
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]
