"""A limit on a server's connections, and a watch on peers that do not read.

A server holds a bounded number of connections, well below the number of descriptors that it may
open. One connection above the limit displaces another: of the address that has most connections,
the one that has waited longest without a request. So a client that opens connections and sends
nothing, or half a request, displaces its own connections, and `/health` is always answered.
Requests in work are never displaced; whoever admits requests keeps a part of the limit free.

`Outflow` finds peers that do not read what is sent to them: unread data stays in memory and would
hold a closed connection for as long as the peer likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, Protocol

from foundation.addresses import network_key
from foundation.descriptors import raise_descriptor_limit
from foundation.minimum_rate import MinimumRate

#: Descriptors kept for files, pipes, sockets to AWS, and for connections that are accepted before
#: there is time to displace any.
RESERVED: Final = 256
#: Connections that the kernel queues until they are accepted.
BACKLOG: Final = 512
#: How many of them are accepted at once. (asyncio's `backlog` sets both numbers, so a server is
#: started with this one and then listens with the other.)
BURST: Final = 32


class Displaceable(Protocol):
    """A connection that another one can displace."""

    #: The peer's.
    address: str

    @property
    def waiting_since(self) -> float | None:
        """Since when it has had no request in work, by any clock; None while it has one."""

    def displace(self) -> None:
        """Close it at once."""


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


class Outflow:
    """Checks from time to time whether a peer reads what is sent to it.

    Args:
        minimum: how fast it has to read.
    """

    def __init__(self, minimum: MinimumRate) -> None:
        self._minimum = minimum
        self._unsent = 0

    def check(self, waited: float, unsent: int) -> bool:
        """Return whether the peer is fast enough.

        Args:
            waited: seconds since the last check.
            unsent: bytes that are still in the write buffer.
        """
        if self._unsent:
            self._minimum.record(waited, max(0, self._unsent - unsent))
        self._unsent = unsent
        return not unsent or self._minimum.left > 0


def affordable_connections(wanted: int, *, each: int = 1) -> int:
    """Return how many of the wanted connections the process can have; raise its limit if possible.

    Args:
        wanted: the most to return.
        each: descriptors that a connection takes.
    """
    return connections_within(wanted, raise_descriptor_limit(wanted * each + RESERVED), each=each)


def connections_within(wanted: int, descriptors: int | None, *, each: int) -> int:
    """Return how many connections a number of descriptors allows; None: it is unlimited.

    Where descriptors are few, half of them are kept for other purposes.
    """
    if descriptors is None:
        return wanted
    free = max(descriptors - RESERVED, descriptors // 2)
    return max(1, min(wanted, free // each))
