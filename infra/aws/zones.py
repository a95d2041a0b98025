"""Availability zones in which everything stands that a network of our own holds.

A few zones lack something: CloudFront's VPC origins and Fargate on ARM64 are missing in `use1-az3`,
for example, and an account may know that one as `us-east-1a`. A deployment that has got hold of it
fails at its last stack. Where such zones are known, subnets are placed by the zones' ids, which
mean the same in every account; elsewhere in the first zones that the account has.

Sources: Amazon CloudFront Developer Guide, "Supported AWS Regions for VPC origins"; Amazon ECS
Developer Guide, "Supported Regions for Amazon ECS on AWS Fargate".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Regions with a zone that lacks something, and up to three others of theirs.
SUITABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "ap-northeast-1": ("apne1-az1", "apne1-az2", "apne1-az4"),  # not apne1-az3
    "ap-northeast-2": ("apne2-az2", "apne2-az3", "apne2-az4"),  # not apne2-az1
    "ca-central-1": ("cac1-az1", "cac1-az2", "cac1-az4"),  # not cac1-az3
    "us-east-1": ("use1-az2", "use1-az4", "use1-az6"),  # not use1-az3
    "us-west-1": ("usw1-az1", "usw1-az3"),  # not usw1-az2
}


def zone_ids(region: str) -> tuple[str, ...]:
    """Return the zones to stand in, by id; none where the account's first ones will do."""
    return SUITABLE.get(region, ())
