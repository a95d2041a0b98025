"""Finds the key of a caller's address, by which its rate is limited.

Behind CloudFront the socket's peer is the load balancer for every client. So the page's CloudFront
function writes the client's address into a header (`infra/web/functions/api_request.js`), and a
setting names that header. Without the setting no header is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

#: Longer texts are not parsed; an IPv6 address with a long zone is still shorter.
LONGEST_ADDRESS = 64
#: Bytes of an IPv6 address that identify a network: a household or a phone has a whole /64.
_NETWORK_BYTES = 8


def caller_key(headers: Mapping[str, str], header: str | None, peer: str) -> str:
    """Return the key of the address in `header`, or of the socket's `peer`.

    Without a valid address in the header all clients behind the same peer share a key.
    """
    claimed = headers.get(header) if header else None
    return (network_key(claimed) if claimed else None) or network_key(peer) or peer


def network_key(address: str) -> str | None:
    """Return the key of an address: an IPv4 address itself, the /64 of IPv6; None if malformed.

    An IPv4-mapped address (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2) counts as IPv4.
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
