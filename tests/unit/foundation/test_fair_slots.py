"""Places, of which no address gets all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.fair_slots import FairSlots

pytestmark = pytest.mark.unit


@given(limit=st.integers(1, 40), deeds=st.lists(st.tuples(st.booleans(), st.integers(0, 4))))
def test_there_are_never_more_than_the_limit_nor_more_of_one_address_than_its_share(
    limit: int, deeds: list[tuple[bool, int]]
) -> None:
    shares = FairSlots(limit)
    taken: list[str] = []
    for take, number in deeds:
        address = f"10.0.0.{number}"
        if take:
            free = len(taken) < limit and taken.count(address) < shares.most_per_address
            assert shares.take(address) == free
            taken += [address] * free
        elif address in taken:
            taken.remove(address)
            shares.release(address)
        assert shares.taken == len(taken)


def test_one_address_leaves_a_quarter_to_others() -> None:
    shares = FairSlots(32)
    assert sum(shares.take("10.0.0.1") for _ in range(100)) == 24
    assert shares.take("10.0.0.2")


def test_there_is_a_place_even_where_there_is_only_one() -> None:
    assert FairSlots(1).take("10.0.0.1")
