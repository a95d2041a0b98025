"""Groups network addresses by caller, for limits on how much one caller may use."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Final

#: An IPv6 address with a long zone is still shorter; nothing longer is parsed.
LONGEST_ADDRESS: Final = 64
#: Bytes of an IPv6 address that name a network: a household or a phone has a whole /64.
_NETWORK_BYTES: Final = 8


def network_key(address: str) -> str | None:
    """Return the key of an address: IPv4 by itself, IPv6 by its /64; None if it is no address.

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
