"""What an environment costs in an empty account, and what less it can be.

An account that has no load balancer to share needs one of its own: internal, so without public
addresses, and without the secret by which a shared one knows CloudFront. Nothing else differs
between the two, which a test checks by synthesising both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from infra.costs import prices
from infra.costs.templates import Resources

#: What a load balancer of one's own costs more than a rule on somebody else's, dollars a month; as
#: the lines of both would be printed.
OWN_INSTEAD_OF_SHARED: Final = (
    prices.LOAD_BALANCER.monthly.quantize(Decimal("0.01"), ROUND_HALF_UP) - prices.SECRET.monthly
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """An environment's total by what the account has, US dollars a month."""

    environment: str
    #: With nothing in the account that could be shared.
    empty: Decimal
    #: With a load balancer that is there already; None where the environment needs none, or
    #: cannot share one.
    sharing: Decimal | None
    #: Whether the empty account's total has a load balancer in it.
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


def accounts(environment: str, total: Decimal, resources: Resources) -> Accounts:
    """Return what an environment costs by the account, where as described it costs `total`."""
    sharing: Decimal | None = None
    shared, own = shares(resources), bool(resources.of("AWS::ElasticLoadBalancingV2::LoadBalancer"))
    if shared:
        total, sharing = total + OWN_INSTEAD_OF_SHARED, total
    # A GPU needs a network of its own, which a shared load balancer does not bring.
    elif own and not resources.of("AWS::AutoScaling::AutoScalingGroup"):
        sharing = total - OWN_INSTEAD_OF_SHARED
    return Accounts(environment=environment, empty=total, sharing=sharing, balancer=shared or own)


def shares(resources: Resources) -> bool:
    """Return whether the load balancer belongs to somebody else's stack."""
    return bool(resources.of("AWS::ElasticLoadBalancingV2::ListenerRule")) and not resources.of(
        "AWS::ElasticLoadBalancingV2::LoadBalancer"
    )
