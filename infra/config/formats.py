"""Types of fields in several parts of an environment: ARNs, domains, addresses, log days."""

from __future__ import annotations

import re
from typing import Annotated, Final

from infra.aws.log_retention import RETENTION
from infra.config.parts import Check

_ARN: Final = re.compile(r"arn:aws[a-z-]*:(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]*):\d{12}:.+")
_DOMAIN: Final = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

#: A zone's name, also of a local zone such as `us-west-2-lax-1a`.
ZONE: Final = re.compile(r"(?P<region>[a-z]{2,4}(?:-[a-z]+)+-\d+)(?:-[a-z]+-\d+)?[a-z]")
#: An image with a tag or a digest. Source: docs.docker.com, reference of `docker image tag`.
IMAGE: Final = re.compile(
    r"[a-zA-Z0-9][\w.-]*(?::\d+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::\w[\w.-]{0,127}(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})",
    re.ASCII,
)

DomainName = Annotated[str, Check(_DOMAIN.fullmatch, "{!r} is not a domain name")]
Email = Annotated[str | None, Check(_EMAIL.fullmatch, "{!r} is not an e-mail address")]
#: A period that CloudWatch offers.
LogDays = Annotated[
    int,
    Check(
        RETENTION.__contains__,
        f"logs are kept for {', '.join(map(str, RETENTION))} days, not for {{}}",
    ),
]


def is_arn(text: str, service: str, infix: str) -> bool:
    """Return whether a text is an ARN of a service that contains `infix`."""
    found = _ARN.fullmatch(text)
    return found is not None and found["service"] == service and infix in f":{text}"


def region_of(arn: str | None) -> str | None:
    """Return the region in an ARN; None without one."""
    found = _ARN.fullmatch(arn or "")
    return found["region"] if found else None


CertificateArn = Annotated[
    str | None,
    Check(lambda arn: is_arn(arn, "acm", ":certificate/"), "is not the ARN of a certificate"),
]
