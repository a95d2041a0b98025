"""How many files this process may open."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.descriptors import (
    affordable_connections,
    connections_within,
    raise_descriptor_limit,
)

pytestmark = pytest.mark.unit

INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "limit"),
    [
        (100, INFINITY, 1_000),
        (100, 600, 600),
        (2_000, 4_000, 2_000),
        (INFINITY, INFINITY, None),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_be(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, limit: int | None
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))

    assert raise_descriptor_limit(1_000) == limit
    assert limits[-1] == (soft if limit is None else limit, hard)


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
