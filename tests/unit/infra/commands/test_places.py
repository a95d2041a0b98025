"""Where an environment keeps rights and people, by the outputs of its stack."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from infra.commands.places import NoAccounts, Place, find_place
from tests.support.access import NOW

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def ask_for_place(*outputs: tuple[str, str], error: str = "") -> Place:
    cloudformation = boto3.client("cloudformation")
    stack: Any = {
        "StackName": "cloudscribe-demo-data",
        "CreationTime": NOW,
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs],
    }
    with Stubber(cloudformation) as stub:
        if error:
            stub.add_client_error("describe_stacks", "ValidationError", error)
        else:
            stub.add_response("describe_stacks", {"Stacks": [stack]})
        return find_place(cloudformation, "demo")


def test_the_stack_names_table_and_pool() -> None:
    assert ask_for_place(("AccessTableName", "t")) == Place("t", None)
    assert ask_for_place(("AccessTableName", "t"), ("UserPoolId", "p")) == Place("t", "p")


def test_an_environment_without_accounts_has_no_owners() -> None:
    with pytest.raises(NoAccounts, match="demo has no accounts"):
        ask_for_place(("TableName", "conversations"))


def test_an_unknown_environment_is_named_with_its_region() -> None:
    with pytest.raises(NoAccounts, match="cloudscribe-demo-data in us-east-1"):
        ask_for_place(error="Stack with id cloudscribe-demo-data does not exist")


def test_other_refusals_of_aws_are_passed_on() -> None:
    with pytest.raises(ClientError, match="not authorized"):
        ask_for_place(error="User is not authorized")
