"""How many files this process may open."""

from __future__ import annotations

import resource

import pytest

from foundation.descriptors import raise_descriptor_limit

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
