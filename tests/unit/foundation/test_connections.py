"""Who has to go when there are too many connections, and who is too slow a reader."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.connections import (
    ConnectionLimit,
    Outflow,
    affordable_connections,
    choose_displaced,
    connections_within,
)
from foundation.minimum_rate import MinimumRate

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


def test_a_peer_that_reads_nothing_is_cut_off_and_a_slow_reader_is_kept() -> None:
    silent, slow = Outflow(MinimumRate(10, 5)), Outflow(MinimumRate(10, 5))

    assert all(silent.check(1, 1000) for _ in range(5))
    assert not silent.check(1, 1000)
    assert all(slow.check(1, 10_000 - 11 * second) for second in range(900))


def test_time_in_which_nothing_is_to_be_read_counts_for_nothing() -> None:
    outflow = Outflow(MinimumRate(10, 5))
    assert all(outflow.check(3, 0) for _ in range(5))
    assert outflow.check(3, 1000)
    assert outflow.check(3, 1000)


def test_a_system_that_gives_no_more_descriptors_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (600, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert affordable_connections(1_000) == connections_within(1_000, 600, each=1) < 600


@given(st.integers(1, 10**5), st.integers(1, 10**6), st.integers(1, 2))
def test_connections_leave_descriptors_for_the_rest(
    wanted: int, descriptors: int, each: int
) -> None:
    connections = connections_within(wanted, descriptors, each=each)
    assert 1 <= connections <= wanted
    assert (
        connections == 1
        or connections * each <= descriptors // 2
        or (connections * each <= descriptors - 256)
    )
