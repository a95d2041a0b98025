"""How the process's file descriptors are shared out, so that nobody takes those of others.

With none left a process accepts no connection, starts no worker and calls no service. So viewers,
streams, and connections that are neither yet have a share each, and some are kept for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

#: For listening, the journal, the engine's processes (18 seen) and calls of AWS (2 pools of 16).
OWN = 64
#: A stream's own: its socket, and its worker or its connection to the engine, also while another
#: takes over.
PER_STREAM = 4
#: The most connections without a place that are held; each takes about 15 kB.
MOST_PENDING = 512


class TooFewDescriptors(ValueError):
    """The process may not open enough files to serve anybody."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The most connections at a time: without a place yet, of viewers, and streams."""

    pending: int
    viewers: int
    streams: int


def share(limit: int | None, *, viewers: int, streams: int) -> Shares:
    """Share out `limit` descriptors (`None`: there is no limit) to those wanted.

    Where they do not suffice for all, a quarter is for connections without a place, and of the rest
    streams get what they need, half of it at most.

    Raises:
        TooFewDescriptors: somebody would get none at all.
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


def wanted(*, viewers: int, streams: int) -> int:
    """Return with how many descriptors `share` gives everybody what is wanted."""
    rest = streams * PER_STREAM + max(viewers, streams * PER_STREAM)
    return OWN + max(4 * MOST_PENDING, MOST_PENDING + rest)
