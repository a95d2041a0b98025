"""Which addresses count as one."""

from __future__ import annotations

import pytest

from foundation.addresses import LONGEST_ADDRESS, network_key

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a case
    assert (network_key(one) == network_key(other)) is same


@pytest.mark.parametrize(
    "text", ["", "unknown", "192.0.2.1, 192.0.2.2", "192.0.2.1:443", "::1%" + "z" * LONGEST_ADDRESS]
)
def test_what_is_no_address_has_no_key(text: str) -> None:
    assert network_key(text) is None


def test_the_key_of_ipv6_names_its_network() -> None:
    assert network_key("2001:db8:1:2::1") == "2001:0db8:0001:0002::/64"
