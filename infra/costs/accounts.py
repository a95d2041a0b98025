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

from infra import prices
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
    #: With a load balancer that is there already; None where the environment needs none.
    sharing: Decimal | None

    def lines(self) -> Iterator[str]:
        """Yield sentences for people, the empty account's first."""
        own = "" if self.sharing is None else ", its own load balancer included"
        yield (
            f"In an empty account {self.environment} costs ${self.empty:.2f} a month{own} "
            "(free tiers that never end counted)."
        )
        if self.sharing is not None:
            yield f"With a load balancer that you have and share: ${self.sharing:.2f} a month."
            yield "Less is one machine without a load balancer: make cost ENV=solo."


def accounts(environment: str, total: Decimal, resources: Resources) -> Accounts:
    """Return what an environment costs by the account, where as described it costs `total`."""
    if resources.of("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        empty, sharing = total, total - OWN_INSTEAD_OF_SHARED
    elif shares(resources):
        empty, sharing = total + OWN_INSTEAD_OF_SHARED, total
    else:
        return Accounts(environment=environment, empty=total, sharing=None)
    return Accounts(environment=environment, empty=empty, sharing=sharing)


def shares(resources: Resources) -> bool:
    """Return whether the load balancer belongs to somebody else's stack."""
    return bool(resources.of("AWS::ElasticLoadBalancingV2::ListenerRule")) and not resources.of(
        "AWS::ElasticLoadBalancingV2::LoadBalancer"
    )
