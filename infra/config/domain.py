"""The domain of an environment's page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from infra.config.formats import DOMAIN, is_arn, region_of
from infra.config.parts import ConfigPart, Problem

_ZONE_ID: Final = re.compile(r"Z[A-Z0-9]{1,31}")


class HostedZone(ConfigPart):
    """The Route 53 zone in which the domain's record is made."""

    zone_id: str
    name: str

    def problems(self) -> Iterator[Problem]:
        """Yield values that Route 53 would refuse."""
        if not _ZONE_ID.fullmatch(self.zone_id):
            yield "zone_id", f"{self.zone_id!r} is not the id of a zone, such as Z0123456789ABC"
        if not DOMAIN.fullmatch(self.name):
            yield "name", f"{self.name!r} is not a domain name"


class Domain(ConfigPart):
    """A domain of your own for the page."""

    name: str
    #: A certificate for it in us-east-1, where CloudFront looks for it.
    certificate_arn: str | None = None
    #: None: you make the record yourself.
    hosted_zone: HostedZone | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield a domain that CloudFront would refuse."""
        yield from super().problems()
        if not DOMAIN.fullmatch(self.name):
            yield "name", f"{self.name!r} is not a domain name"
        if self.certificate_arn is None:
            yield "certificate_arn", f"is missing: CloudFront needs a certificate for {self.name}"
        elif not is_arn(self.certificate_arn, "acm", ":certificate/"):
            yield "certificate_arn", "is not the ARN of a certificate"
        elif region_of(self.certificate_arn) != "us-east-1":
            yield "certificate_arn", "CloudFront takes certificates from us-east-1 only"
        zone = self.hosted_zone
        if zone is not None and self.name != zone.name and not self.name.endswith(f".{zone.name}"):
            yield "hosted_zone", f"{self.name} is not in the zone {zone.name}"
