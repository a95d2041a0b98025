"""Authorises each request, before anything else looks at it.

Today everyone may use the service, except for two ways in which a foreign web page could use its
visitor's browser to reach a service that is not meant for it:

- A page of another origin. Browsers send the `Origin` of the page that opens a WebSocket, but do
  not apply the same-origin policy to it.
- A page whose host name is made to resolve to the visitor's own machine (DNS rebinding), so that
  origin and host agree. A service on the loopback address therefore accepts loopback names only.

Programs that are not browsers send no `Origin`.

Behind CloudFront the `Host` that arrives here is the load balancer's, not the page's. CloudFront
puts the page's host into `X-Forwarded-Host` and overwrites what the client sent there, so an origin
that equals this header is accepted like one that equals `Host`. Without CloudFront in front a
foreign page cannot exploit that: a page cannot set headers on a WebSocket handshake, and a `fetch`
with such a header needs a CORS permission, which this service never gives. Other programs could
omit the origin just as well. On the loopback address only the local edge is in front, which keeps
`Host`, so the header is ignored there.

Where only network rules stand between CloudFront and the service, other people's distributions pass
them, too. There CloudFront authenticates with a secret in the header `X-Cloudscribe-Edge`, and a
request without it is refused, whatever its path.

When there are accounts, this is where a caller becomes a principal with scopes.
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
    """The request is not authorised; the message says why."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The rules by which requests are authorised.

    `loopback` is whether the service listens on the loopback address only. `edge_secret` is what
    CloudFront must send; None requires nothing.
    """

    allowed_origins: frozenset[str] = frozenset()
    loopback: bool = True
    edge_secret: str | None = field(default=None, repr=False)

    def authorise(self, headers: Mapping[str, str]) -> None:
        """Authorise a request by its `headers`, which are looked up without regard to case.

        Raises:
            Forbidden: it comes from a foreign page, or did not come through the edge.
        """
        # Bytes beyond ASCII arrive as surrogates, which strict UTF-8 cannot encode.
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
