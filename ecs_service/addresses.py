"""Whose address a connection comes from, and which addresses count as one.

Behind CloudFront the socket's peer is a load balancer for everybody, so the page's CloudFront
function writes the viewer's address into a header (`infra/web/functions/api_request.js`) and the
service is given that header's name. Without the name nothing that a client sends is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

#: An IPv6 address with a long zone is still shorter; nothing longer is parsed.
LONGEST_ADDRESS = 64
#: Bytes of an IPv6 address that name a network: a household or a phone has a whole /64.
_NETWORK_BYTES = 8


def caller_key(headers: Mapping[str, str], header: str | None, peer: str) -> str:
    """Return the key of the address in `header`, or of the socket's `peer`.

    A header that is absent or malformed counts for nothing: all who share the peer share a key.
    """
    claimed = headers.get(header) if header else None
    return (network_key(claimed) if claimed else None) or network_key(peer) or peer


def network_key(address: str) -> str | None:
    """Return the key of an address: IPv4 by itself, IPv6 by its /64; `None` if it is none.

    IPv4 in IPv6 (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2) is that IPv4 address.
    """
    if len(address) > LONGEST_ADDRESS:
        return None
    try:
        parsed = ip_address(address.strip())
    except ValueError:
        return None
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{parsed.packed[:_NETWORK_BYTES].hex(':', 2)}::/64"
