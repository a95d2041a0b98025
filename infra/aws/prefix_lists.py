"""The ids of AWS's prefix list of the addresses from which CloudFront connects to origins.

Each region has its own id of `com.amazonaws.global.cloudfront.origin-facing`. CloudFormation cannot
look it up, and a lookup at synth would need credentials. The ids have not changed since the
lists were introduced. Source: AWS Networking & Content Delivery blog, "Limit access to your
origins using the AWS-managed prefix list for Amazon CloudFront" (2022). To check one, or to find
that of another region:

    aws ec2 describe-managed-prefix-lists --region REGION --filters \
        Name=prefix-list-name,Values=com.amazonaws.global.cloudfront.origin-facing

ValueError
└── UnknownRegion    the table has no id for the region
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CLOUDFRONT_ORIGIN_FACING: Final[Mapping[str, str]] = {
    "ap-northeast-1": "pl-58a04531",
    "ap-northeast-2": "pl-22a6434b",
    "ap-northeast-3": "pl-31a14458",
    "ap-south-1": "pl-9aa247f3",
    "ap-southeast-1": "pl-31a34658",
    "ap-southeast-2": "pl-b8a742d1",
    "ca-central-1": "pl-38a64351",
    "eu-central-1": "pl-a3a144ca",
    "eu-north-1": "pl-fab65393",
    "eu-west-1": "pl-4fa04526",
    "eu-west-2": "pl-93a247fa",
    "eu-west-3": "pl-75b1541c",
    "sa-east-1": "pl-5da64334",
    "us-east-1": "pl-3b927c52",
    "us-east-2": "pl-b6a144df",
    "us-west-1": "pl-4ea04527",
    "us-west-2": "pl-82a045eb",
}


class UnknownRegion(ValueError):
    """The table has no id for the region."""


def cloudfront_origin_facing(region: str) -> str:
    """Return the id of CloudFront's prefix list in `region`.

    Raises:
        UnknownRegion: the table does not have it.
    """
    found = CLOUDFRONT_ORIGIN_FACING.get(region)
    if found is None:
        known = ", ".join(CLOUDFRONT_ORIGIN_FACING)
        raise UnknownRegion(
            f"CloudFront's prefix list in {region} is not known; infra/aws/prefix_lists.py names "
            f"how to look it up, and has {known}"
        )
    return found
