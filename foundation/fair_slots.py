"""A number of places, of which no address gets all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from foundation.addresses import network_key


@dataclass(slots=True)
class FairSlots:
    """Counts who has a place.

    A quarter of the places is kept from an address that has the other three, so that one caller
    cannot keep all others out.
    """

    #: How many places there are; at least 1.
    limit: int
    _taken: Counter[str] = field(init=False, default_factory=Counter)

    @property
    def most_per_address(self) -> int:
        """How many of them one address may have."""
        return max(1, self.limit - self.limit // 4)

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._taken.total()

    def take(self, address: str) -> bool:
        """Take a place; return whether there was one."""
        who = network_key(address) or address
        if self.taken >= self.limit or self._taken[who] >= self.most_per_address:
            return False
        self._taken[who] += 1
        return True

    def release(self, address: str) -> None:
        """Leave a place that was taken."""
        who = network_key(address) or address
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]
