"""A limit on a server's connections.

A server holds a bounded number of connections, well below the number of descriptors that it may
open. One connection above the limit displaces another: of the address that has most connections,
the one that has waited longest without a request. So a client that opens connections and sends
nothing, or half a request, displaces its own connections, and `/health` is always answered.
Connections with a request in work are never displaced, so whoever admits requests keeps a part of
the limit free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, Protocol

from foundation.addresses import network_key

#: Connections that the kernel queues until they are accepted.
BACKLOG: Final = 512
#: How many of them are accepted at once. (asyncio's `backlog` sets both numbers, so a server is
#: started with this one and then listens with the other.)
BURST: Final = 32


class Displaceable(Protocol):
    """A connection that another one can displace."""

    #: The peer's IP address.
    address: str

    @property
    def waiting_since(self) -> float | None:
        """Since when the connection has had no request in work; None while it has one.

        Seconds of a clock that is the same for all connections.
        """

    def displace(self) -> None:
        """Close the connection at once."""


class ConnectionLimit:
    """The connections of a server, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._members: dict[Displaceable, str] = {}  # and the keys of their addresses

    def __len__(self) -> int:
        return len(self._members)

    def admit(self, member: Displaceable) -> bool:
        """Admit a connection and displace another if necessary; return whether it stays."""
        self._members[member] = network_key(member.address) or member.address
        if len(self._members) <= self.limit:
            return True
        first = choose_displaced(self._members)
        if first is not None:
            self.forget(first)
            if first is not member:
                first.displace()
        else:
            self.forget(member)
        return member in self._members

    def forget(self, member: Displaceable) -> None:
        """Forget a connection, if it is known."""
        self._members.pop(member, None)


def choose_displaced(members: Mapping[Displaceable, str]) -> Displaceable | None:
    """Return the connection that has waited longest, of the address that has most; None if none.

    Args:
        members: connections, and the keys of their addresses.
    """
    counts = Counter(members.values())
    waiting = [
        (counts[address], -since, each)
        for each, address in members.items()
        if (since := each.waiting_since) is not None
    ]
    return max(waiting, key=lambda one: one[:2])[2] if waiting else None
