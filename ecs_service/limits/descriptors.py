"""Allots the process's file descriptors to viewers, streams and pending connections.

A process without free descriptors accepts no connection, starts no worker and calls no service. So
each of the three has a share that the others cannot use up, and some stay for the service itself.
"""

from __future__ import annotations

from dataclasses import dataclass

#: For the listening socket, the journal, the engine's processes (18 measured) and calls of AWS (2
#: pools of 16).
OWN = 64
#: Of a stream: its socket, and its worker or connection to the engine, twice during replacement.
PER_STREAM = 4
#: The most pending connections; each takes about 15 kB.
MOST_PENDING = 512


class TooFewDescriptors(ValueError):
    """The process may not open enough files to serve at all."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The most concurrent pending connections, viewers and streams."""

    pending: int
    viewers: int
    streams: int


def share(limit: int | None, *, viewers: int, streams: int) -> Shares:
    """Allot `limit` descriptors (None: no limit) to the viewers and streams that are wanted.

    If they do not suffice, at most a quarter is for pending connections, and streams get at most
    half of the rest.

    Raises:
        TooFewDescriptors: one of the shares would be empty.
    """
    if limit is None:
        return Shares(MOST_PENDING, viewers, streams)
    free = limit - OWN
    pending = min(MOST_PENDING, free // 4)
    rest = free - pending
    for_streams = min(streams * PER_STREAM, rest // 2)
    shares = Shares(pending, min(viewers, rest - for_streams), for_streams // PER_STREAM)
    if min(shares.pending, shares.viewers, shares.streams) < 1:
        raise TooFewDescriptors(
            f"this process may open {limit} files, which is too few: raise `ulimit -n`"
        )
    return shares


def count_descriptors(*, viewers: int, streams: int) -> int:
    """Return how many descriptors suffice for all viewers, streams and pending connections."""
    rest = streams * PER_STREAM + max(viewers, streams * PER_STREAM)
    return OWN + max(4 * MOST_PENDING, MOST_PENDING + rest)
