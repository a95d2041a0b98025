"""Which AWS credentials and region the user has, without asking anybody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local_cloud.errors import LaunchError
from local_cloud.launcher.account import AwsAccount, find_account

pytestmark = pytest.mark.unit

KEY = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "secret"}


def found(tmp_path: Path, config: str = "", credentials: str = "", **variables: str) -> AwsAccount:
    """Look with these files and variables."""
    files = {"AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": credentials}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return find_account({name: str(tmp_path / name) for name in files} | variables)


def test_without_files_and_variables_there_is_nothing() -> None:
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/at/all"}

    assert find_account(nowhere) == AwsAccount()
    assert not AwsAccount().is_real


def test_a_key_in_the_environment_counts_and_is_not_kept(tmp_path: Path) -> None:
    account = found(tmp_path, AWS_REGION="eu-central-1", **KEY)

    assert account == AwsAccount("the environment", "eu-central-1")
    assert account.is_real
    assert "AKIA" not in repr(account)


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ({}, "eu-west-3"),
        ({"AWS_PROFILE": "bare"}, None),
    ],
)
def test_the_region_is_the_environments_or_the_profiles(
    variables: dict[str, str], region: str | None, tmp_path: Path
) -> None:
    config = "[default]\nregion = eu-west-3\n[profile bare]\n"

    assert found(tmp_path, config, **variables).region == region


@pytest.mark.parametrize(
    "profile",
    [
        "aws_access_key_id = AKIAEXAMPLEEXAMPLE00\naws_secret_access_key = secret",
        "credential_process = /bin/false",
        "role_arn = arn:aws:iam::123456789012:role/r\ncredential_source = Ec2InstanceMetadata",
        "role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = other",
        "sso_session = s\nsso_account_id = 123456789012\nsso_role_name = r",
        "login_session = arn:aws:iam::123456789012:user/u",
    ],
)
def test_every_kind_of_profile_counts_and_none_is_resolved(profile: str, tmp_path: Path) -> None:
    assert found(tmp_path, f"[default]\n{profile}").credentials == 'the profile "default"'
    named = f"[profile work]\n{profile}"
    assert found(tmp_path, named).credentials is None
    assert found(tmp_path, named, AWS_PROFILE="work").credentials == 'the profile "work"'


def test_the_file_of_credentials_counts_as_well(tmp_path: Path) -> None:
    credentials = "[work]\naws_access_key_id = AKIAEXAMPLEEXAMPLE00\naws_secret_access_key = s"

    account = found(tmp_path, "[profile work]\nregion = eu-west-3", credentials, AWS_PROFILE="work")

    assert account == AwsAccount('the profile "work"', "eu-west-3")


def test_a_role_by_token_counts_and_the_machines_own_does_not(tmp_path: Path) -> None:
    by_token = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}
    of_a_container = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials"}

    assert found(tmp_path, **by_token).credentials == "the environment"
    assert found(tmp_path, **of_a_container).credentials is None


@pytest.mark.parametrize(
    ("config", "variables"),
    [
        ("", {"AWS_ENDPOINT_URL": "http://localhost:4566"}),
        ("[default]\nendpoint_url = http://localhost:4566", {}),
        ("", {"AWS_ACCESS_KEY_ID": "test"}),
    ],
)
def test_what_is_meant_for_an_emulator_is_no_account(
    config: str, variables: dict[str, str], tmp_path: Path
) -> None:
    account = found(tmp_path, config, **KEY | variables)

    assert account.credentials
    assert not account.is_real


@pytest.mark.parametrize(
    ("config", "switch"),
    [
        ("", {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"}),
        ("[default]\nignore_configured_endpoint_urls = true", {}),
    ],
)
def test_an_endpoint_that_is_ignored_leads_nowhere_else(
    config: str, switch: dict[str, str], tmp_path: Path
) -> None:
    elsewhere = {"AWS_ENDPOINT_URL": "http://localhost:4566"}

    assert found(tmp_path, config, **KEY | elsewhere | switch).is_real


@pytest.mark.parametrize(
    ("config", "variables", "problem"),
    [
        ("", {"AWS_PROFILE": "work"}, 'no profile "work"'),
        ("", {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00"}, "without its secret"),
        ("[default]\naws_access_key_id = AKIAEXAMPLEEXAMPLE00", {}, "without its secret"),
        ("", KEY | {"AWS_ACCESS_KEY_ID": "000000000000"}, "12 digits"),
        ("[default]\nrole_arn = a\nmfa_serial = b", {}, "export-credentials --profile default"),
        ("[default", {}, "is broken"),
    ],
)
def test_an_unusable_account_is_explained_with_a_way_out_and_without_the_key(
    config: str, variables: dict[str, str], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(LaunchError, match=problem) as refused:
        found(tmp_path, config, **variables)

    assert str(refused.value).endswith("TRANSCRIBE_ENDPOINT=local does without AWS.")
    assert "AKIA" not in str(refused.value)
