"""The limit on this process's open files and sockets, and how many connections it allows."""

from __future__ import annotations

import contextlib
import sys
from typing import Final

#: Descriptors kept for files, pipes, sockets to AWS, and for connections that are accepted before
#: there is time to displace any.
RESERVED: Final = 256


def raise_descriptor_limit(wanted: int) -> int | None:
    """Raise the limit on open files to `wanted`, or as far as the system allows.

    Returns the limit, which is left alone where it is higher; None where there is none.
    """
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not made for Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):  # a system with yet another limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            return raised
    return soft


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
