"""The rule that keeps foreign web pages from using a visitor's browser to reach a server.

Two ways are barred:

- a page of another origin. Browsers send the `Origin` of the page that opens a WebSocket or calls
  `fetch`, but do not apply the same-origin rule to WebSockets;
- a page whose host name resolves to the visitor's own machine (DNS rebinding), so that origin and
  host agree. A server on the loopback address therefore answers to loopback names only.

Programs that are not browsers send no `Origin` and are not kept out by this rule.

Behind CloudFront the `Host` that arrives is the load balancer's. CloudFront sends the page's host
as `X-Forwarded-Host`, in place of whatever the client sent under that name, so an origin that
equals it is accepted, too. A foreign page gains nothing by it where there is no CloudFront: a
browser adds none of the page's headers to a WebSocket's handshake, and before a `fetch` with such
a header it asks for a permission that our servers never give. What is no browser could leave the
origin out just as well. On the loopback address nothing but the local edge stands in front of a
server, and the edge keeps `Host`, so there the header is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import urlsplit

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class ForeignPage(Exception):
    """A foreign page is behind the request, or may be; the message is for its developer."""


def names_this_machine(host: str) -> bool:
    """Return whether a header `Host` is a loopback name, whatever the port."""
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK_NAMES
    except ValueError:
        return False


def refuse_foreign_pages(
    headers: Mapping[str, str], *, loopback: bool, allowed: AbstractSet[str] = frozenset()
) -> None:
    """Check the headers `Host` and `Origin` of a request.

    Args:
        headers: of the request, looked up without regard to case.
        loopback: whether the server listens on the loopback address only.
        allowed: further origins whose pages may use the server.

    Raises:
        ForeignPage: see the module.
    """
    host, sent = headers.get("Host", ""), headers.get("Origin", "")
    try:
        origin = urlsplit(sent)
    except ValueError:
        raise ForeignPage("The header Origin is malformed.") from None
    if loopback and not names_this_machine(host):
        raise ForeignPage("This service answers to names of this machine only.")
    hosts = {host} if loopback else {host, headers.get("X-Forwarded-Host", host)}
    hosts.discard("")  # the host of an opaque origin, `null`, is empty, too
    if sent and origin.netloc not in hosts and sent not in allowed:
        raise ForeignPage("Pages of this origin may not use the service.")
