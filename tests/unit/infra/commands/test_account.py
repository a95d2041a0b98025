"""What an account has to have before its first deployment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from infra.commands.account import SERVICE, main, make_role

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


def test_any_other_refusal_is_raised(iam: Any, aws: Stubber) -> None:
    aws.add_client_error("create_service_linked_role", "AccessDenied", "not allowed")

    with pytest.raises(ClientError):
        make_role(iam)


# --- who is signed in -------------------------------------------------------------------------


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Take every way to sign in away; return where a configuration would be."""
    for name in (
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "config"


SSO = """
[default]
sso_session = ours
sso_account_id = 123456789012
sso_role_name = Deployer
region = us-east-1
[sso-session ours]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
"""


@pytest.mark.usefixtures("nobody")
def test_nobody_signed_in_learns_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--signed-in"]) == 1

    printed = capsys.readouterr().err
    assert "aws configure sso" in printed
    assert "AWS_PROFILE" in printed


@pytest.mark.usefixtures("nobody")
def test_a_profile_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")

    assert main(["--signed-in"]) == 1

    assert "profile (mine) could not be found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "config"),
    [
        ({"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}, ""),
        ({"AWS_ACCESS_KEY_ID": "half"}, ""),  # wrong, but that is for the CDK to judge
        ({}, SSO),
        ({"AWS_PROFILE": "other"}, "[profile other]\ncredential_process = /bin/false\n"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, ""),
        ({}, "[default]\nlogin_session = arn:aws:iam::123456789012:user/me\n"),
    ],
)
def test_whoever_may_be_signed_in_goes_on(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], config: str
) -> None:
    nobody.write_text(config)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert main(["--signed-in"]) == 0
