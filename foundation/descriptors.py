"""How many files and sockets this process may open at a time."""

from __future__ import annotations

import contextlib
import sys


def raise_descriptor_limit(wanted: int) -> int | None:
    """Let this process open `wanted` files, or as many as it may; return how many.

    `None`: the system has no such limit.
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
