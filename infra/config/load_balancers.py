"""The load balancer of an environment: shared, dedicated or none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from infra.config.formats import ZONE, CertificateArn, DomainName, is_arn, region_of
from infra.config.network import NetworkConfig
from infra.config.parts import ConfigPart, Problem, within


class SharedLoadBalancer(ConfigPart):
    """An existing load balancer that serves others as well, given by its attributes.

    A rule is added to its HTTPS listener. CloudFront reaches it over the internet by a name that
    its certificate covers, and authenticates with a secret header.
    """

    kind: Literal["shared"] = "shared"
    listener_arn: str
    #: The name that CloudFront connects to; the listener's certificate must cover it.
    domain_name: DomainName
    security_group_id: str
    vpc_id: str
    #: Public subnets of that network, one or more, and their zones in the same order.
    subnet_ids: tuple[str, ...]
    availability_zones: tuple[str, ...]
    #: The rule's priority in the listener.
    rule_priority: Annotated[int, within(1, 50_000)] = 100

    def problems(self) -> Iterator[Problem]:
        """Report malformed attributes."""
        yield from super().problems()
        if not is_arn(self.listener_arn, "elasticloadbalancing", ":listener/app/"):
            yield "listener_arn", "is not the ARN of an Application Load Balancer's listener"
        for field, value, prefix in (
            ("security_group_id", self.security_group_id, "sg-"),
            ("vpc_id", self.vpc_id, "vpc-"),
            *(("subnet_ids", subnet, "subnet-") for subnet in self.subnet_ids),
        ):
            if not re.fullmatch(rf"{prefix}[0-9a-f]{{8,17}}", value):
                yield field, f"{value!r} does not look like {prefix}0123456789abcdef0"
        if not self.subnet_ids or len(self.subnet_ids) != len(self.availability_zones):
            yield "subnet_ids", "give at least one subnet, and a zone for each"
        for zone in self.availability_zones:
            if not ZONE.fullmatch(zone):
                yield (
                    "availability_zones",
                    f"{zone!r} is not the name of a zone, such as us-east-1a",
                )

    @property
    def region(self) -> str | None:
        """The region that the listener's ARN names."""
        return region_of(self.listener_arn)

    @property
    def account(self) -> str:
        """The account that the listener's ARN names."""
        return self.listener_arn.split(":")[4]


class DedicatedLoadBalancer(ConfigPart):
    """An internal load balancer of its own, which CloudFront reaches through a VPC origin."""

    kind: Literal["dedicated"] = "dedicated"
    network: NetworkConfig = NetworkConfig()
    #: Certificate for the environment's domain, in the environment's region. With it CloudFront
    #: connects by HTTPS. Without a domain there is no certificate that CloudFront would trust, and
    #: the connection inside AWS's network is HTTP.
    certificate_arn: CertificateArn = None
    #: Keep the load balancer's access log in a bucket. Its entries have whole addresses, and so the
    #: names of conversations; CloudFront's log (`LiveConfig.access_logs`) has no such names.
    access_logs: bool = False

    @property
    def region(self) -> str | None:
        """The region that the certificate's ARN names."""
        return region_of(self.certificate_arn)


class NoLoadBalancer(ConfigPart):
    """No load balancer: CloudFront reaches one EC2 machine (t4g.nano) through a VPC origin."""

    kind: Literal["none"] = "none"
    network: NetworkConfig = NetworkConfig()
    #: A different number replaces the machine by one with Amazon's newest image. Nothing else does.
    machine: Annotated[int, within(1, 9999, "; another number makes another machine")] = 1

    @property
    def region(self) -> str | None:
        """None, because no field has an ARN."""
        return None


LoadBalancer = Annotated[
    SharedLoadBalancer | DedicatedLoadBalancer | NoLoadBalancer, Field(discriminator="kind")
]
