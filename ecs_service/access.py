"""Who is at the door: the one function that every entry passes.

Today it lets everyone in whose page comes from an allowed origin. A browser sends the
`Origin` of the page that opens a WebSocket but does not apply the same-origin rule to it, so
without this check any page could listen to a service on its visitor's machine. Programs that
are not browsers send no `Origin`.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

ALLOWED_ORIGINS = web.AppKey("allowed_origins", frozenset[str])


@dataclass(frozen=True, slots=True)
class Caller:
    """A client and what it may do."""

    name: str = "anyone"
    may_speak: bool = True
    may_listen: bool = True


def admit(request: web.Request) -> Caller:
    """Return who the client is.

    Raises:
        web.HTTPForbidden: the page comes from an origin that is not allowed.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin not in request.app[ALLOWED_ORIGINS]:
        try:
            same = urlsplit(origin).netloc == request.host
        except ValueError:
            same = False
        if not same:
            raise web.HTTPForbidden(text="Pages of this origin may not use the service.\n")
    return Caller()
