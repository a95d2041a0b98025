"""`make bootstrap`: make ECS's service-linked role; with `--signed-in`, look for credentials.

ECS makes its role together with an account's first cluster. That takes seconds, but CloudFormation
continues at once, and the capacity providers fail with "Unable to assume the service linked role".
A template cannot make the role, because it would fail in accounts that already have one.

With `--signed-in` it only looks for credentials, because the CDK's own message is "Unable to
resolve AWS account". Credentials that only AWS could judge count as found.

Exit codes: 0 done, 1 not made, or no credentials, 7 the output cannot be written, 130 interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from foundation import program

SERVICE: Final = "ecs.amazonaws.com"
SIGN_IN: Final = (
    "Sign in with `aws configure sso` and `aws sso login`, name a profile in AWS_PROFILE, or give "
    "keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


class ServiceLinkedRoles(Protocol):
    """The part of boto3's IAM client that is used here."""

    def create_service_linked_role(self, *, AWSServiceName: str) -> object:  # noqa: N803 - AWS's name
        """Make the role of a service."""


def make_role(iam: ServiceLinkedRoles) -> bool:
    """Make ECS's service-linked role; return False if it exists already.

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


def missing_credentials() -> str | None:
    """Return why there are no credentials for AWS; None if there may be some."""
    try:
        found = boto3.Session().get_credentials()
    except ProfileNotFound as error:
        return f"{error}. {SIGN_IN}"
    except BotoCoreError:  # such as a way to sign in that only the CDK knows
        return None
    return f"No credentials for AWS were found. {SIGN_IN}" if found is None else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Make ECS's role, or only look for credentials; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.commands.account")
    parser.add_argument("--signed-in", action="store_true", help="only look for credentials")
    if parser.parse_args(arguments).signed_in:
        if reason := missing_credentials():
            program.note(reason)
        return 1 if reason else 0
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
