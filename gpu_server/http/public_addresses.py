"""Decides from which addresses the server may fetch on behalf of strangers: public ones only.

The host of a URL is resolved first, and the address that will be connected to is what counts. So
decimal, octal and short forms of an address, names that resolve to one, and IPv6 forms of an IPv4
address are all treated alike.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from gpu_server.problems import RefusedAddress

Address = IPv4Address | IPv6Address

#: IPv6 addresses that single machines have (IANA's registry of the address space).
_UNICAST: Final = IPv6Network("2000::/3")
#: They embed IPv4 addresses, which a gateway on the way may extract: 6to4 (RFC 3056) and Teredo
#: (RFC 4380). Other such networks, for example NAT64, are not in `_UNICAST`.
_CARRIERS: Final = (IPv6Network("2002::/16"), IPv6Network("2001::/32"))
#: Not public either, although some versions of Python say so: IETF protocol assignments (some
#: clouds' metadata) and 6to4 relays.
_SPECIAL: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))


def is_public(address: Address) -> bool:
    """Return whether an address belongs to a single machine on the public Internet.

    Private, link-local (with the clouds' metadata, also IPv6's fd00:ec2::254), loopback, shared
    (CGNAT), multicast, reserved and documentation addresses are not.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.scope_id is not None or address not in _UNICAST:
            return False
        if any(address in network for network in _CARRIERS):
            return False
    elif any(address in network for network in _SPECIAL):
        return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and not address.is_link_local
    )


def parse_address(text: str) -> Address:
    """Parse an address that a resolver has returned.

    Raises:
        RefusedAddress: the text is no address.
    """
    try:
        return ip_address(text)
    except ValueError:
        raise RefusedAddress("The host has no address that can be understood.") from None


def parse_url(url: str) -> SplitResult:
    """Parse a URL and check all that can be checked before its host is resolved.

    Raises:
        RefusedAddress: it is malformed, is neither http nor https, names a user, or has characters
            that programs read in different ways.
    """
    if any(ord(each) <= 32 or ord(each) == 127 or each == "\\" for each in url):  # noqa: PLR2004 - space and control characters
        raise RefusedAddress("The URL has blanks, backslashes or control characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RefusedAddress("The URL is malformed.") from None
    if parts.scheme not in ("http", "https"):
        raise RefusedAddress("The URL has to begin with http:// or https://.")
    if "@" in parts.netloc:
        raise RefusedAddress("The URL names a user; leave that out.")
    if not parts.hostname or "%" in parts.netloc or not parts.netloc.isascii() or port == 0:
        raise RefusedAddress("The URL names no host.")
    return parts
