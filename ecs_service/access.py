"""Who is at the door: the one function that every entry passes.

Today it lets everyone in whose page comes from an allowed origin. A browser sends the
`Origin` of the page that opens a WebSocket but does not apply the same-origin rule to it, so
without this check any page could listen to a service on its visitor's machine. Programs that
are not browsers send no `Origin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


class Forbidden(Exception):
    """The client may not use the service; the message says why."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A client and what it may do."""

    name: str = "anyone"
    may_speak: bool = True
    may_listen: bool = True


def admit(headers: Mapping[str, str], allowed_origins: frozenset[str]) -> Caller:
    """Return who the client is. `headers` are looked up without regard to case.

    Raises:
        Forbidden: the page comes from an origin that is not allowed.
    """
    origin = headers.get("Origin")
    if origin is not None and origin not in allowed_origins:
        try:
            same = urlsplit(origin).netloc == headers.get("Host")
        except ValueError:
            same = False
        if not same:
            raise Forbidden("Pages of this origin may not use the service.")
    return Caller()
