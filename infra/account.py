"""`make bootstrap`: what an account has to have before its first cluster.

ECS acts through a role of its own, which it makes when it makes an account's first cluster. That
takes seconds, CloudFormation goes on at once, and the capacity providers then fail with "Unable to
assume the service linked role". A template cannot make the role, for it would fail wherever there
is one already.

Exit codes: 0 there, 1 not made, 7 the output cannot be written, 130 interrupted.
"""

from __future__ import annotations

from typing import Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from scripts import program

SERVICE = "ecs.amazonaws.com"


class Client(Protocol):
    """The part of boto3's client of IAM that is used."""

    def create_service_linked_role(self, *, AWSServiceName: str) -> object:  # noqa: N803 - AWS's name
        """Make the role of a service."""


def make_role(iam: Client) -> bool:
    """Make the role through which ECS acts; return whether it was not there before.

    Raises:
        ClientError: AWS refused.
    """
    try:
        iam.create_service_linked_role(AWSServiceName=SERVICE)
    except ClientError as error:
        refused = error.response["Error"]
        if refused["Code"] == "InvalidInput" and "has been taken" in refused["Message"]:
            return False
        raise
    return True


def main() -> int:
    """Make what is missing; return the exit status."""
    try:
        made = make_role(boto3.client("iam"))
    except (BotoCoreError, ClientError) as error:
        program.note(f"The role of ECS was not made: {error}")
        return 1
    program.show(
        "The role through which ECS acts was made." if made else "ECS has its role already."
    )
    return 0


if __name__ == "__main__":
    program.end(main)
