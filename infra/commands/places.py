"""Where an environment with accounts keeps rights and people, by the outputs of its data stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

#: Outputs of the data stack of an environment with accounts. One with an issuer of its own has no
#: user pool.
TABLE_OUTPUT: Final = "AccessTableName"
POOL_OUTPUT: Final = "UserPoolId"


class NoAccounts(Exception):
    """The environment does not exist, or has no accounts; the message says which."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an environment keeps rights and people.

    Attributes:
        table: the name of the table of rights.
        pool: the id of the user pool; None if people are managed elsewhere.
    """

    table: str
    pool: str | None


def find_place(cloudformation: CloudFormationClient, environment: str) -> Place:
    """Return where an environment keeps rights and people.

    Raises:
        NoAccounts: there is no such environment, or it has no accounts.
        ClientError: AWS refused.
    """
    stack = f"cloudscribe-{environment}-data"
    try:
        answer = cloudformation.describe_stacks(StackName=stack)
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            region = cloudformation.meta.region_name
            raise NoAccounts(
                f"There is no stack {stack} in {region}: is ENV right, and AWS_REGION the region "
                "of the environment?"
            ) from error
        raise
    known = {
        each["OutputKey"]: each["OutputValue"] for each in answer["Stacks"][0].get("Outputs", [])
    }
    if TABLE_OUTPUT not in known:
        raise NoAccounts(f"{environment} has no accounts: docs/access.md says how to get them.")
    return Place(known[TABLE_OUTPUT], known.get(POOL_OUTPUT))
