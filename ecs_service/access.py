"""Who is at the door: the one function that every entry passes.

Today it lets everyone in, but for two ways in which a foreign web page could use its visitor's
browser to reach a service that is not meant for it:

- a page of another origin: browsers tell the `Origin` of the page that opens a WebSocket, but
  do not apply the same-origin rule to it;
- a page whose host name is made to resolve to the visitor's own machine (DNS rebinding), so
  that origin and host agree: a service on the loopback address answers to loopback names only.

Programs that are not browsers send no `Origin`. When there are accounts, this is where the
caller gets a name and rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class Forbidden(Exception):
    """The client may not use the service; the message says why."""


@dataclass(frozen=True, slots=True)
class Door:
    """What decides about admission. `loopback` is whether the service listens there only."""

    allowed_origins: frozenset[str] = frozenset()
    loopback: bool = True

    def admit(self, headers: Mapping[str, str]) -> None:
        """Let a request in. `headers` are looked up without regard to case.

        Raises:
            Forbidden: a foreign page is behind it.
        """
        host = headers.get("Host", "")
        try:
            host_name = urlsplit(f"//{host}").hostname
            origin = urlsplit(headers.get("Origin", ""))
        except ValueError:
            raise Forbidden("The headers Host and Origin are malformed.") from None
        if self.loopback and host_name not in LOOPBACK_NAMES:
            raise Forbidden("This service answers to names of this machine only.")
        foreign = bool(headers.get("Origin")) and origin.netloc != host
        if foreign and headers["Origin"] not in self.allowed_origins:
            raise Forbidden("Pages of this origin may not use the service.")
