"""Who is at the door: the one function that every entry passes.

Today it lets everyone in, but for two ways in which a foreign web page could use its visitor's
browser to reach a service that is not meant for it:

- a page of another origin: browsers tell the `Origin` of the page that opens a WebSocket, but
  do not apply the same-origin rule to it;
- a page whose host name is made to resolve to the visitor's own machine (DNS rebinding), so
  that origin and host agree: a service on the loopback address answers to loopback names only.

Programs that are not browsers send no `Origin`.

Behind CloudFront the page's host is not the `Host` that arrives here: that is the load
balancer's. CloudFront hands the page's host on as `X-Forwarded-Host`, in place of whatever the
client sent under that name, and an origin that equals it is as good as one that equals `Host`. A
foreign page gains nothing by it where there is no CloudFront in front: a browser sets its own
headers on a WebSocket's handshake and none of the page's, and before a `fetch` with such a
header it asks for a permission that this service never gives. What is no browser could leave the
origin out just as well. On the loopback address nothing stands in front of the service but the
local edge, which keeps `Host`, so there the header counts for nothing.

Where nothing but the network's own rules stands between CloudFront and the service, those of other
people's distributions pass them, too. Then CloudFront proves itself with a secret in the header
`X-Cloudscribe-Edge`, and whoever comes without it is refused. That goes for every path.

When there are accounts, this is where the caller gets a name and rights.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
#: The header in which CloudFront sends the secret.
EDGE_HEADER = "X-Cloudscribe-Edge"


class Forbidden(Exception):
    """The client may not use the service; the message says why."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What decides about slots.

    `loopback` is whether the service listens there only, `edge_secret` what CloudFront has to send;
    None asks for none.
    """

    allowed_origins: frozenset[str] = frozenset()
    loopback: bool = True
    edge_secret: str | None = field(default=None, repr=False)

    def authorise(self, headers: Mapping[str, str]) -> None:
        """Let a request in. `headers` are looked up without regard to case.

        Raises:
            Forbidden: a foreign page is behind it, or it did not come through the edge.
        """
        # Bytes that are no text come as surrogates, which UTF-8 has no place for.
        sent = headers.get(EDGE_HEADER, "").encode(errors="surrogateescape")
        if self.edge_secret is not None and not hmac.compare_digest(
            sent, self.edge_secret.encode()
        ):
            raise Forbidden("This service answers to its own page's address only.")
        host = headers.get("Host", "")
        try:
            host_name = urlsplit(f"//{host}").hostname
            origin = urlsplit(headers.get("Origin", ""))
        except ValueError:
            raise Forbidden("The headers Host and Origin are malformed.") from None
        if self.loopback and host_name not in LOOPBACK_NAMES:
            raise Forbidden("This service answers to names of this machine only.")
        hosts = {host} if self.loopback else {host, headers.get("X-Forwarded-Host", host)}
        hosts.discard("")  # the host of an opaque origin, `null`, is empty, too
        foreign = bool(headers.get("Origin")) and origin.netloc not in hosts
        if foreign and headers["Origin"] not in self.allowed_origins:
            raise Forbidden("Pages of this origin may not use the service.")
