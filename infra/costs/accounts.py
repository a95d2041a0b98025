"""The total of an environment in an empty account, and in an account with a load balancer.

An account without a load balancer to share needs a dedicated one. It is internal, so it has neither
public addresses nor the secret by which a shared one recognises CloudFront. Nothing else differs; a
test checks this by synthesising both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from infra.costs import prices
from infra.costs.templates import EnvironmentResources

#: How much more a dedicated load balancer costs than a rule on a shared one, dollars a month, by
#: the printed lines of both.
OWN_INSTEAD_OF_SHARED: Final = (
    prices.LOAD_BALANCER.monthly.quantize(Decimal("0.01"), ROUND_HALF_UP) - prices.SECRET.monthly
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """An environment's total in different accounts, US dollars a month."""

    environment: str
    #: In an account with nothing to share.
    empty: Decimal
    #: In an account with a load balancer to share; None if the environment needs none, or cannot
    #: share one.
    sharing: Decimal | None
    #: Whether the empty account's total includes a load balancer.
    balancer: bool

    def lines(self) -> Iterator[str]:
        """Yield sentences for people, the empty account's first."""
        own = ", its own load balancer included" if self.balancer else ""
        yield (
            f"In an empty account {self.environment} costs ${self.empty:.2f} a month{own} "
            "(free tiers that never end counted)."
        )
        if self.sharing is not None:
            yield f"With a load balancer that you have and share: ${self.sharing:.2f} a month."
        if self.balancer:
            yield "Less is one machine without a load balancer: make cost ENV=solo."


def price_accounts(environment: str, total: Decimal, resources: EnvironmentResources) -> Accounts:
    """Return an environment's totals by account; `total` is that of its templates."""
    sharing: Decimal | None = None
    shared, own = (
        shares_load_balancer(resources),
        bool(resources.of("AWS::ElasticLoadBalancingV2::LoadBalancer")),
    )
    if shared:
        total, sharing = total + OWN_INSTEAD_OF_SHARED, total
    # A GPU needs a network of its own, which a shared load balancer does not bring.
    elif own and not resources.of("AWS::AutoScaling::AutoScalingGroup"):
        sharing = total - OWN_INSTEAD_OF_SHARED
    return Accounts(environment=environment, empty=total, sharing=sharing, balancer=shared or own)


def shares_load_balancer(resources: EnvironmentResources) -> bool:
    """Return whether the load balancer belongs to somebody else's stack."""
    return bool(resources.of("AWS::ElasticLoadBalancingV2::ListenerRule")) and not resources.of(
        "AWS::ElasticLoadBalancingV2::LoadBalancer"
    )
