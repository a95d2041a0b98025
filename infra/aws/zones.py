"""Availability zones that offer everything an environment's own network needs.

A few zones lack something. For example, `use1-az3` has neither CloudFront's VPC origins nor Fargate
on ARM64, and an account may know that zone as `us-east-1a`. A deployment in such a zone fails at
its last stack. In regions with known gaps, subnets are placed by the zones' ids, which mean the
same in every account; elsewhere in the account's first zones.

Sources: Amazon CloudFront Developer Guide, "Supported AWS Regions for VPC origins"; Amazon ECS
Developer Guide, "Supported Regions for Amazon ECS on AWS Fargate".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Up to three suitable zones of each region that also has an unsuitable one.
SUITABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "ap-northeast-1": ("apne1-az1", "apne1-az2", "apne1-az4"),  # not apne1-az3
    "ap-northeast-2": ("apne2-az2", "apne2-az3", "apne2-az4"),  # not apne2-az1
    "ca-central-1": ("cac1-az1", "cac1-az2", "cac1-az4"),  # not cac1-az3
    "us-east-1": ("use1-az2", "use1-az4", "use1-az6"),  # not use1-az3
    "us-west-1": ("usw1-az1", "usw1-az3"),  # not usw1-az2
}


def zone_ids(region: str) -> tuple[str, ...]:
    """Return the ids of suitable zones; an empty tuple if any zone of the region is suitable."""
    return SUITABLE.get(region, ())
