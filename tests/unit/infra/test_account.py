"""What an account has to have before its first deployment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from infra.account import SERVICE, make_role

pytestmark = pytest.mark.unit


@pytest.fixture
def iam() -> Any:
    return boto3.client(
        "iam",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - nobody's: every answer is given by the test
    )


@pytest.fixture
def aws(iam: Any) -> Iterator[Stubber]:
    with Stubber(iam) as stubber:
        yield stubber


def test_an_empty_account_gets_the_role_of_ecs(iam: Any, aws: Stubber) -> None:
    aws.add_response("create_service_linked_role", {}, {"AWSServiceName": SERVICE})

    assert make_role(iam) is True


def test_a_role_that_is_there_stays_as_it_is(iam: Any, aws: Stubber) -> None:
    aws.add_client_error(
        "create_service_linked_role",
        "InvalidInput",
        "Service role name AWSServiceRoleForECS has been taken in this account",
    )

    assert make_role(iam) is False


def test_any_other_refusal_is_told(iam: Any, aws: Stubber) -> None:
    aws.add_client_error("create_service_linked_role", "AccessDenied", "not allowed")

    with pytest.raises(ClientError):
        make_role(iam)
