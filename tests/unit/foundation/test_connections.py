"""Who has to go when there are too many connections, and who is too slow a reader."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.connections import Crowd, Outflow, affordable, first_to_go, within
from foundation.minimum_rate import Pace

pytestmark = pytest.mark.unit


@dataclass(eq=False)
class Peer:
    address: str
    waiting_since: float | None
    displaced: bool = False

    def displace(self) -> None:
        self.displaced = True


def test_who_has_most_connections_displaces_his_own_which_has_waited_longest() -> None:
    crowd = Crowd(4)
    other = Peer("10.0.0.2", 0)
    many = [Peer("10.0.0.1", number) for number in (2, 1, 3)]
    for each in (other, *many):
        assert crowd.enter(each)

    assert crowd.enter(Peer("10.0.0.3", 9))

    assert [each.displaced for each in many] == [False, True, False]
    assert not other.displaced
    assert len(crowd) == 4


def test_a_request_in_work_is_not_displaced() -> None:
    crowd = Crowd(2)
    assert crowd.enter(Peer("10.0.0.1", None))
    assert crowd.enter(Peer("10.0.0.1", None))

    refused = Peer("10.0.0.2", 1)

    assert not crowd.enter(refused)
    assert len(crowd) == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.floats(0, 100)), max_size=60))
def test_there_is_never_more_than_the_limit_and_a_newcomer_gets_in_if_anybody_waits(
    peers: list[tuple[int, float | None]],
) -> None:
    crowd = Crowd(5)
    inside: list[Peer] = []
    for number, since in peers:
        peer = Peer(f"10.0.0.{number}", since)
        let_in = crowd.enter(peer)
        inside = [each for each in (*inside, peer) if not each.displaced and each is not peer]
        inside += [peer] * let_in
        assert len(crowd) == len(inside) <= 5
        if not let_in:
            assert first_to_go({each: each.address for each in (*inside, peer)}) in (peer, None)


def test_who_reads_nothing_is_given_up_and_who_reads_slowly_enough_is_not() -> None:
    silent, slow = Outflow(Pace(10, 5)), Outflow(Pace(10, 5))

    assert all(silent.look(1, 1000) for _ in range(5))
    assert not silent.look(1, 1000)
    assert all(slow.look(1, 10_000 - 11 * second) for second in range(900))


def test_time_in_which_nothing_is_to_be_read_counts_for_nothing() -> None:
    outflow = Outflow(Pace(10, 5))
    assert all(outflow.look(3, 0) for _ in range(5))
    assert outflow.look(3, 1000)
    assert outflow.look(3, 1000)


def test_a_system_that_gives_no_more_descriptors_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (600, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert affordable(1_000) == within(1_000, 600, each=1) < 600


@given(st.integers(1, 10**5), st.integers(1, 10**6), st.integers(1, 2))
def test_connections_leave_descriptors_for_the_rest(
    wanted: int, descriptors: int, each: int
) -> None:
    connections = within(wanted, descriptors, each=each)
    assert 1 <= connections <= wanted
    assert (
        connections == 1
        or connections * each <= descriptors // 2
        or (connections * each <= descriptors - 256)
    )
