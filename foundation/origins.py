"""The rule that keeps foreign web pages from using a visitor's browser to reach a server.

It refuses requests of two kinds of pages:

- a page of another origin. Browsers send the `Origin` of the page that opens a WebSocket or calls
  `fetch`, but do not apply the same-origin rule to WebSockets;
- a page whose host name resolves to the visitor's own machine (DNS rebinding), so that origin and
  host agree. A server on the loopback address therefore answers to loopback names only.

Programs that are not browsers send no `Origin` and are not kept out by this rule.

Behind CloudFront the `Host` that arrives is the load balancer's. CloudFront sends the page's host
as `X-Forwarded-Host`, in place of whatever the client sent under that name, so an origin that
equals it is accepted, too. A foreign page gains nothing by it where there is no CloudFront: a
browser adds none of the page's headers to a WebSocket's handshake, and before a `fetch` with such
a header it asks for a permission that our servers never give. A program that is not a browser could
leave out the origin as well. On the loopback address only the local edge stands in front of a
server, and the edge keeps `Host`, so the header is ignored there.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import urlsplit

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class ForeignPage(Exception):
    """A foreign page may have sent the request; the message is for the page's developer."""


def refuse_foreign_pages(
    headers: Mapping[str, str], *, loopback: bool, allowed: AbstractSet[str] = frozenset()
) -> None:
    """Check the headers `Host` and `Origin` of a request.

    Args:
        headers: of the request, looked up without regard to case.
        loopback: whether the server listens on the loopback address only.
        allowed: further origins whose pages may use the server.

    Raises:
        ForeignPage: one of the headers is malformed, names a foreign page, or, on the loopback
            address, is a `Host` that does not name this machine.
    """
    host, sent = headers.get("Host", ""), headers.get("Origin", "")
    try:
        host_name, origin = urlsplit(f"//{host}").hostname, urlsplit(sent)
    except ValueError:
        raise ForeignPage("The headers Host and Origin are malformed.") from None
    if loopback and host_name not in LOOPBACK_NAMES:
        raise ForeignPage("This service answers to names of this machine only.")
    hosts = {host} if loopback else {host, headers.get("X-Forwarded-Host", host)}
    hosts.discard("")  # the host of an opaque origin, `null`, is empty, too
    if sent and origin.netloc not in hosts and sent not in allowed:
        raise ForeignPage("Pages of this origin may not use the service.")
