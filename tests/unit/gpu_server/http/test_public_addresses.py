"""Which URLs and addresses are refused: a test for each known trick."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_server.http.public_addresses import is_public, parse_url
from gpu_server.problems import RefusedAddress

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",  # metadata of EC2
        "169.254.170.2",  # credentials of ECS tasks
        "100.64.0.1",  # CGNAT
        "100.127.255.255",
        "192.0.0.192",  # Oracle's metadata
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fd00:ec2::254",  # metadata of EC2 by IPv6
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "::127.0.0.1",  # IPv4-compatible
        "64:ff9b::a9fe:a9fe",  # NAT64 of 169.254.169.254
        "64:ff9b:1::a9fe:a9fe",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
        "2001:db8::1",
        "100::1",  # discard
    ],
)
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_the_same_in_its_ipv6_form(number: int) -> None:
    plain = IPv4Address(number)

    assert is_public(IPv6Address(f"::ffff:{plain}")) == is_public(plain)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com:80@127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
        "http://example.com\\.evil/",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: other",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:http/",
        "http://[::1%25eth0]/",
        "http://[::1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://%31%32%37.0.0.1/",
        "http://exämple.com/",
    ],
)
def test_a_url_that_programs_read_in_different_ways_is_refused(url: str) -> None:
    with pytest.raises(RefusedAddress):
        parse_url(url)


@given(st.text())
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        parts = parse_url(text)
    except RefusedAddress:
        return
    assert parts.scheme in ("http", "https")
    assert parts.hostname
