"""Which addresses count as one, and how often one may connect and fail."""

from __future__ import annotations

from contextlib import nullcontext
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ecs_service.limits.callers import CallerLimits, ConnectedClient, TooManyFailures, caller_key
from ecs_service.limits.rates import RateLimit, TokenRate
from ecs_service.refusal import Refusal
from foundation.addresses import network_key
from transcripts.protocol import ErrorCode

pytestmark = pytest.mark.unit

HEADER = "X-Cloudscribe-Viewer"
ipv4 = st.integers(0, 2**32 - 1).map(IPv4Address)
ipv6 = st.integers(0, 2**128 - 1).map(IPv6Address)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def key(peer: str = "10.0.0.9", *, header: str | None = HEADER, **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return caller_key(CIMultiDict(named), header, peer)


# --- addresses ---------------------------------------------------------------------------------


def test_the_header_counts_only_where_it_was_named() -> None:
    assert key(x_cloudscribe_viewer="192.0.2.1") == "192.0.2.1"
    assert key(x_cloudscribe_viewer="192.0.2.1", header=None) == "10.0.0.9"
    assert key(x_forwarded_for="192.0.2.1") == "10.0.0.9"


@pytest.mark.parametrize(
    "claimed", ["", "unknown", "192.0.2.1, 192.0.2.2", "192.0.2.1:443", "1" * 65, "::1%" + "z" * 70]
)
def test_what_is_no_address_gets_no_budget_of_its_own(claimed: str) -> None:
    assert key(x_cloudscribe_viewer=claimed) == "10.0.0.9"


def test_a_peer_that_has_no_address_is_still_somebody() -> None:
    assert key("") == ""


@given(ipv6, st.integers(0, 2**64 - 1))
def test_ipv6_counts_by_network(address: IPv6Address, host: int) -> None:
    neighbour = IPv6Address(int(address) >> 64 << 64 | host)
    mapped = address.ipv4_mapped is not None or neighbour.ipv4_mapped is not None
    stranger = IPv6Address(int(address) ^ 1 << 64)

    assert mapped or network_key(str(address)) == network_key(str(neighbour))
    assert network_key(str(address)) != network_key(str(stranger))


@given(ipv4)
def test_ipv4_counts_by_address_however_it_is_written(address: IPv4Address) -> None:
    assert network_key(f"::ffff:{address}") == network_key(str(address)) == str(address)


# --- rates ---------------------------------------------------------------------------------------


@given(
    st.floats(0.1, 50),
    st.integers(1, 20),
    st.lists(st.floats(0, 30), min_size=1, max_size=60),
)
def test_no_span_of_time_has_more_than_the_burst_and_what_came_back(
    per_second: float, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    limit = RateLimit(TokenRate(per_second, burst), most=10, clock=clock)
    taken: list[float] = []
    for pause in pauses:
        clock.now += pause
        while not limit.take("a"):
            taken.append(clock.now)
            assert len(taken) <= 60 * (burst + per_second * 30), "it never ends"

    for first, begin in enumerate(taken):
        for count, end in enumerate(taken[first:], start=1):
            assert count <= burst + per_second * (end - begin) + 1e-6


@given(st.floats(0.1, 50), st.integers(1, 20))
def test_after_the_announced_wait_there_is_a_token(per_second: float, burst: int) -> None:
    clock = Clock()
    limit = RateLimit(TokenRate(per_second, burst), most=10, clock=clock)
    assert [limit.take("a") for _ in range(burst)] == [0.0] * burst

    wait = limit.take("a")
    assert wait == pytest.approx(1 / per_second)
    clock.now += wait
    assert limit.take("a") == 0.0

    clock.now += burst / per_second
    assert [limit.take("a") for _ in range(burst)] == [0.0] * burst


def test_keys_do_not_share(clock: Clock) -> None:
    limit = RateLimit(TokenRate(1.0, 1), most=10, clock=clock)
    assert not limit.take("a")
    assert limit.take("a")
    assert not limit.take("b")


@given(st.lists(st.integers(0, 40), max_size=200))
def test_however_many_keys_come_the_table_is_bounded(keys: list[int]) -> None:
    limit = RateLimit(TokenRate(1.0, 1), most=8, clock=Clock())
    for each in keys:
        limit.take(str(each))
        limit.spend(str(each))
        assert len(limit) <= 8


def test_the_key_that_was_longest_without_use_is_forgotten_first(clock: Clock) -> None:
    limit = RateLimit(TokenRate(1.0, 2), most=2, clock=clock)
    for each in "abac":
        limit.spend(each)
    assert limit.wait("a"), "used last but one"
    assert not limit.wait("b")


# --- callers -------------------------------------------------------------------------------------


def callers(clock: Clock, *, connects: int = 3, failures: int = 2) -> CallerLimits:
    return CallerLimits(
        connects=RateLimit(TokenRate(1.0, connects), most=10, clock=clock),
        failures=RateLimit(TokenRate(0.5, failures), most=10, clock=clock),
    )


def test_who_connects_too_fast_learns_it_by_name_and_when_to_come_back(clock: Clock) -> None:
    limits = callers(clock)
    for _ in range(3):
        limits.count_connection("a")

    with pytest.raises(Refusal) as refused:
        limits.count_connection("a")

    assert refused.value.code is ErrorCode.RATE_LIMITED
    assert refused.value.retry_after is not None
    clock.now += refused.value.retry_after
    limits.count_connection("a")


def test_who_fails_too_often_is_not_worth_a_name_until_it_has_stopped(clock: Clock) -> None:
    limits = callers(clock, connects=100)
    for _ in range(5):
        limits.count_failure("a")

    with pytest.raises(TooManyFailures) as refused:
        limits.count_connection("a")
    limits.count_connection("b")

    assert refused.value.retry_after == pytest.approx(2.0)
    clock.now += 2.0
    limits.count_connection("a")


@pytest.mark.parametrize("full", [ErrorCode.AT_CAPACITY, ErrorCode.TOO_MANY_VIEWERS])
def test_a_full_house_is_no_fault_of_those_who_wait_outside(clock: Clock, full: ErrorCode) -> None:
    limits = callers(clock, connects=100)
    hall = ConnectedClient("hall", nullcontext(), limits)  # type: ignore[arg-type] # nothing is held
    for _ in range(5):
        hall.count_refusal(full)
    limits.count_connection("hall")

    for _ in range(5):
        hall.count_refusal(ErrorCode.INVALID_PARAMETER)
    with pytest.raises(TooManyFailures):
        limits.count_connection("hall")
