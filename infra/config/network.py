"""The choices for an environment's own network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated

from infra.config.parts import Check, ConfigPart, Problem


class NetworkConfig(ConfigPart):
    """A network of its own, with public and inner subnets."""

    cidr: str = "10.20.0.0/16"
    #: Availability zones, 2 to 3; a load balancer requires two.
    zones: Annotated[int, Check((2, 3).__contains__, "give 2 or 3 availability zones")] = 2
    #: NAT gateways cost some $33 a month each; nothing here needs one.
    nat_gateways: int = 0
    flow_logs: bool = False

    def problems(self) -> Iterator[Problem]:
        """Report a network that cannot be cut into subnets."""
        yield from super().problems()
        try:
            network = ipaddress.ip_network(self.cidr)
        except ValueError as error:
            yield "cidr", f"{self.cidr} is no network: {error}"
        else:
            if network.version != 4 or not network.is_private:  # noqa: PLR2004 - IPv4
                yield "cidr", f"{self.cidr} is not a private IPv4 network (RFC 1918)"
            elif not 16 <= network.prefixlen <= 22:  # noqa: PLR2004 - a VPC's most; ours needs this
                yield "cidr", f"{self.cidr}: a prefix of 16 to 22 bits leaves room for subnets"
        if not 0 <= self.nat_gateways <= self.zones:
            yield "nat_gateways", "give 0, or at most one per availability zone"
