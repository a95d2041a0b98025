"""Bounds for connections: how many there are, and how long each may leave something half done.

A server has room for a number of connections, well below the descriptors that it may open. One more
displaces the one that has waited longest without a request, among those of the address that has the
most. So whoever opens connections and sends nothing, or half of something, displaces his own, and
`/health` is answered however many there are. Requests in work are never displaced; whoever
admits them leaves a part of the room free.

That a peer takes what is sent to it is watched here, too: what is unread stays in memory, and
holds a connection that is closed for as long as the peer likes.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Final, Protocol

from foundation.fair_slots import neighbourhood
from foundation.minimum_rate import Pace

#: Descriptors that are kept for what is no connection: files, pipes, sockets to AWS; and for
#: connections that are accepted before there is time to displace any.
RESERVED: Final = 256
#: Connections that wait to be accepted.
BACKLOG: Final = 512
#: How many of them are accepted at once. (What asyncio names `backlog` is both, so a server begins
#: with this one, and listens with the other one afterwards.)
BURST: Final = 32


class Member(Protocol):
    """A connection."""

    #: The peer's.
    address: str

    @property
    def waiting_since(self) -> float | None:
        """Since when it has had no request in work, by any clock; None while it has one."""

    def displace(self) -> None:
        """End it at once."""


class Crowd:
    """The connections of a server, and no more than `limit` of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._members: dict[Member, str] = {}  # and their neighbourhoods

    def __len__(self) -> int:
        return len(self._members)

    def enter(self, member: Member) -> bool:
        """Let a connection in; return whether there is room, made where it must be."""
        self._members[member] = neighbourhood(member.address)
        if len(self._members) <= self.limit:
            return True
        first = first_to_go(self._members)
        if first is not None:
            self.leave(first)
            if first is not member:
                first.displace()
        else:
            self.leave(member)
        return member in self._members

    def leave(self, member: Member) -> None:
        """Forget a connection, if it is known."""
        self._members.pop(member, None)


def first_to_go(members: Mapping[Member, str]) -> Member | None:
    """Return the connection that has waited longest, of the address that has most; None if none.

    Args:
        members: and what stands for their addresses.
    """
    counts = Counter(members.values())
    waiting = [
        (counts[address], -since, each)
        for each, address in members.items()
        if (since := each.waiting_since) is not None
    ]
    return max(waiting, key=lambda one: one[:2])[2] if waiting else None


class Outflow:
    """Watches whether a peer takes what is sent to it.

    Args:
        pace: what it has to take.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._unsent = 0

    def look(self, waited: float, unsent: int) -> bool:
        """Note what is unsent, `waited` seconds after the last look; return whether to go on."""
        if self._unsent:
            self._pace.progress(waited, max(0, self._unsent - unsent))
        self._unsent = unsent
        return not unsent or self._pace.left > 0


def affordable(wanted: int, *, each: int = 1) -> int:
    """Return how many connections the process may have, at most as many as are wanted.

    Each takes `each` descriptors. More descriptors are asked for where that helps.
    """
    try:
        import resource  # noqa: PLC0415 - not made for Windows
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted * each + RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(ValueError, OSError):  # a system with yet another limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return within(wanted, soft, each=each)


def within(wanted: int, descriptors: int, *, each: int) -> int:
    """Return how many connections so many descriptors allow; half of few stay for the rest."""
    if descriptors < 0:  # no limit
        return wanted
    free = max(descriptors - RESERVED, descriptors // 2)
    return max(1, min(wanted, free // each))
