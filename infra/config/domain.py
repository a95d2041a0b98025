"""The domain of an environment's page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from infra.config.formats import CertificateArn, DomainName, region_of
from infra.config.parts import Check, ConfigPart, Problem


class HostedZone(ConfigPart):
    """The Route 53 zone in which the domain's record is made."""

    zone_id: Annotated[
        str,
        Check(
            re.compile(r"Z[A-Z0-9]{1,31}").fullmatch,
            "{!r} is not the id of a zone, such as Z0123456789ABC",
        ),
    ]
    name: DomainName


class Domain(ConfigPart):
    """A domain of your own for the page."""

    name: DomainName
    #: A certificate for it in us-east-1, where CloudFront looks for it.
    certificate_arn: CertificateArn = None
    #: None: you make the record yourself.
    hosted_zone: HostedZone | None = None

    def problems(self) -> Iterator[Problem]:
        """Report a domain that CloudFront would refuse."""
        yield from super().problems()
        if self.certificate_arn is None:
            yield "certificate_arn", f"is missing: CloudFront needs a certificate for {self.name}"
        elif region_of(self.certificate_arn) not in {None, "us-east-1"}:
            yield "certificate_arn", "CloudFront takes certificates from us-east-1 only"
        zone = self.hosted_zone
        if zone is not None and self.name != zone.name and not self.name.endswith(f".{zone.name}"):
            yield "hosted_zone", f"{self.name} is not in the zone {zone.name}"
