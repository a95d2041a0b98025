"""Which callers are admitted, and which pages are refused."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from ecs_service.access.edge import EDGE_HEADER, AccessPolicy, Forbidden

pytestmark = pytest.mark.unit

BALANCER = "shared.example.com"
PAGE = "d111111abcdef8.cloudfront.net"


def _admitted(policy: AccessPolicy, **headers: str) -> bool:
    try:
        policy.authorise(
            CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        )
    except Forbidden:
        return False
    return True


@pytest.fixture
def policy() -> AccessPolicy:
    """Of a service in the cloud."""
    return AccessPolicy(loopback=False)


def test_the_page_behind_cloudfront_is_admitted(policy: AccessPolicy) -> None:
    assert _admitted(policy, Host=BALANCER, Origin=f"https://{PAGE}", X_Forwarded_Host=PAGE)


def test_another_page_is_refused(policy: AccessPolicy) -> None:
    assert not _admitted(
        policy, Host=BALANCER, Origin="https://evil.example", X_Forwarded_Host=PAGE
    )


def test_without_cloudfront_in_front_a_foreign_page_is_refused(policy: AccessPolicy) -> None:
    assert not _admitted(policy, Host="captions.lan:8081", Origin="https://evil.example")


def test_several_hosts_in_the_header_are_none(policy: AccessPolicy) -> None:
    both = f"{PAGE}, evil.example"

    assert not _admitted(
        policy, Host=BALANCER, Origin="https://evil.example", X_Forwarded_Host=both
    )


def test_an_empty_header_is_no_host(policy: AccessPolicy) -> None:
    assert not _admitted(policy, Host=BALANCER, Origin="null", X_Forwarded_Host="evil.example")
    assert not _admitted(policy, Host=BALANCER, Origin="https://evil.example", X_Forwarded_Host="")


@pytest.mark.parametrize("origin", ["null", "file://", "about:blank"])
def test_a_page_without_a_host_is_refused(policy: AccessPolicy, origin: str) -> None:
    assert not _admitted(policy, Host=BALANCER, Origin=origin, X_Forwarded_Host=PAGE)
    assert not _admitted(policy, Host=BALANCER, Origin=origin, X_Forwarded_Host="")


def test_a_page_that_asks_its_own_host_is_admitted(policy: AccessPolicy) -> None:
    assert _admitted(policy, Host=PAGE, Origin=f"https://{PAGE}")


def test_a_caller_that_is_no_browser_is_admitted(policy: AccessPolicy) -> None:
    assert _admitted(policy, Host=BALANCER)


def test_on_the_loopback_address_the_header_counts_for_nothing() -> None:
    local = AccessPolicy(loopback=True)

    assert _admitted(local, Host="localhost:8080", Origin="http://localhost:8080")
    assert not _admitted(
        local,
        Host="localhost:8080",
        Origin="https://evil.example",
        X_Forwarded_Host="evil.example",
    )
    assert not _admitted(local, Host="evil.example", X_Forwarded_Host="localhost:8080")


def test_an_origin_that_the_operator_named_is_admitted() -> None:
    policy = AccessPolicy(frozenset({"https://other.example"}), loopback=False)

    assert _admitted(policy, Host=BALANCER, Origin="https://other.example", X_Forwarded_Host=PAGE)


# --- the edge's secret --------------------------------------------------------------------------

SECRET = "s" * 48


@pytest.mark.parametrize(
    "sent", [None, "", SECRET[:-1], f"{SECRET}s", SECRET.upper(), "\u00e9", "\udcff"]
)
def test_whoever_passes_the_edge_by_is_refused(sent: str | None) -> None:
    policy = AccessPolicy(loopback=False, edge_secret=SECRET)
    edge = {} if sent is None else {EDGE_HEADER: sent}

    assert not _admitted(policy, Host=PAGE, **edge)


def test_the_edge_is_admitted_and_foreign_pages_behind_it_are_refused() -> None:
    policy = AccessPolicy(loopback=False, edge_secret=SECRET)

    assert _admitted(policy, Host=PAGE, Origin=f"https://{PAGE}", **{EDGE_HEADER: SECRET})
    assert not _admitted(policy, Host=PAGE, Origin="https://evil.example", **{EDGE_HEADER: SECRET})


def test_a_policy_does_not_show_its_secret() -> None:
    assert SECRET not in repr(AccessPolicy(edge_secret=SECRET))
