"""A number of places, of which no address gets all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address


@dataclass(slots=True)
class Shares:
    """Counts who has a place.

    A quarter of the places is kept from an address that has the other three, so that one caller
    cannot keep all others out.
    """

    #: How many places there are; at least 1.
    limit: int
    _taken: Counter[str] = field(init=False, default_factory=Counter)

    @property
    def share(self) -> int:
        """How many of them one address may have."""
        return max(1, self.limit - self.limit // 4)

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._taken.total()

    def take(self, address: str) -> bool:
        """Take a place; return whether there was one."""
        who = neighbourhood(address)
        if self.taken >= self.limit or self._taken[who] >= self.share:
            return False
        self._taken[who] += 1
        return True

    def leave(self, address: str) -> None:
        """Leave a place that was taken."""
        who = neighbourhood(address)
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]


def neighbourhood(address: str) -> str:
    """Return what stands for a caller: the address; of IPv6 the /64, all of which is one's own."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return str(known)
    return str(known.ipv4_mapped or IPv6Address(int(known) >> 64 << 64))
