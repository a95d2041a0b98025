"""Who has to go when there are too many connections."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.connections import ConnectionLimit, choose_displaced

pytestmark = pytest.mark.unit


@dataclass(eq=False)
class Peer:
    address: str
    waiting_since: float | None
    displaced: bool = False

    def displace(self) -> None:
        self.displaced = True


def test_who_has_most_connections_displaces_his_own_which_has_waited_longest() -> None:
    connections = ConnectionLimit(4)
    other = Peer("10.0.0.2", 0)
    many = [Peer("10.0.0.1", number) for number in (2, 1, 3)]
    for each in (other, *many):
        assert connections.admit(each)

    assert connections.admit(Peer("10.0.0.3", 9))

    assert [each.displaced for each in many] == [False, True, False]
    assert not other.displaced
    assert len(connections) == 4


def test_a_request_in_work_is_not_displaced() -> None:
    connections = ConnectionLimit(2)
    assert connections.admit(Peer("10.0.0.1", None))
    assert connections.admit(Peer("10.0.0.1", None))

    refused = Peer("10.0.0.2", 1)

    assert not connections.admit(refused)
    assert len(connections) == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.floats(0, 100)), max_size=60))
def test_there_is_never_more_than_the_limit_and_a_newcomer_gets_in_if_anybody_waits(
    peers: list[tuple[int, float | None]],
) -> None:
    connections = ConnectionLimit(5)
    inside: list[Peer] = []
    for number, since in peers:
        peer = Peer(f"10.0.0.{number}", since)
        admitted = connections.admit(peer)
        inside = [each for each in (*inside, peer) if not each.displaced and each is not peer]
        inside += [peer] * admitted
        assert len(connections) == len(inside) <= 5
        if not admitted:
            assert choose_displaced({each: each.address for each in (*inside, peer)}) in (
                peer,
                None,
            )
