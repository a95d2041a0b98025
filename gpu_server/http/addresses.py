"""Which addresses of the Internet a server may fetch from on behalf of strangers: public ones.

Whatever is spelt in a URL, it is resolved first, and what counts is the address that is going to
be connected to. So decimal, octal and short forms of an address, names that resolve to one, and
IPv6 forms of an IPv4 address are all the same here.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from gpu_server.problems import RefusedAddress

Address = IPv4Address | IPv6Address

#: IPv6 addresses that single machines have (IANA's registry of the address space).
_UNICAST: Final = IPv6Network("2000::/3")
#: They carry IPv4 addresses, which a gateway on the way may take out of them: 6to4 (RFC 3056) and
#: Teredo (RFC 4380). Others that do, such as NAT64, are not in `_UNICAST`.
_CARRIERS: Final = (IPv6Network("2002::/16"), IPv6Network("2001::/32"))
#: Not for the public Internet either, whatever a version of Python thinks of them: assignments of
#: IETF protocols (some clouds' metadata) and the relays of 6to4.
_SPECIAL: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public Internet, and of a single machine.

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


def numeric(text: str) -> Address:
    """Return the address that a resolver has given as text.

    Raises:
        RefusedAddress: it is none.
    """
    try:
        return ip_address(text)
    except ValueError:
        raise RefusedAddress("The host has no address that can be understood.") from None


def checked(url: str) -> SplitResult:
    """Return a URL that is worth resolving.

    Raises:
        RefusedAddress: it is malformed, no http or https, names a user, or has characters that one
            program reads in another way than the next.
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
