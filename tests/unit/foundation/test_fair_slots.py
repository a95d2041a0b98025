"""Places, of which no address gets all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.fair_slots import Shares, neighbourhood

pytestmark = pytest.mark.unit


@given(limit=st.integers(1, 40), deeds=st.lists(st.tuples(st.booleans(), st.integers(0, 4))))
def test_there_are_never_more_than_the_limit_nor_more_of_one_address_than_its_share(
    limit: int, deeds: list[tuple[bool, int]]
) -> None:
    shares = Shares(limit)
    taken: list[str] = []
    for take, number in deeds:
        address = f"10.0.0.{number}"
        if take:
            free = len(taken) < limit and taken.count(address) < shares.share
            assert shares.take(address) == free
            taken += [address] * free
        elif address in taken:
            taken.remove(address)
            shares.leave(address)
        assert shares.taken == len(taken)


def test_one_address_leaves_a_quarter_to_others() -> None:
    shares = Shares(32)
    assert sum(shares.take("10.0.0.1") for _ in range(100)) == 24
    assert shares.take("10.0.0.2")


def test_there_is_a_place_even_where_there_is_only_one() -> None:
    assert Shares(1).take("10.0.0.1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "", True),
        ("not an address", "10.0.0.1", False),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a case
    assert (neighbourhood(one) == neighbourhood(other)) is same
