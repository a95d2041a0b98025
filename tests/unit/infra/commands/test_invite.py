"""Invitations by operators: sent once, and again when the first password is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from moto import mock_aws

from access.messages import Invitation
from infra.commands import invite
from infra.commands.invite import (
    ADMINISTRATORS,
    INVITATION_DAYS,
    NotInvited,
    State,
    find_pool,
    main,
)
from infra.commands.places import NoAccounts, Place
from infra.config import access
from local_cloud.accounts import pool as local_pool

pytestmark = pytest.mark.unit

ADA = "ada@example.com"
NAME = "people"
PASSWORD = "Long-Enough-12345"  # noqa: S105 - of a pool in memory
SENT = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
OVER = SENT + timedelta(days=INVITATION_DAYS)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_REGION", raising=False)


@pytest.fixture
def cognito() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("cognito-idp")


@pytest.fixture
def pool(cognito: Any) -> str:
    made: str = cognito.create_user_pool(PoolName=NAME, UsernameAttributes=["email"])["UserPool"][
        "Id"
    ]
    cognito.create_group(UserPoolId=made, GroupName=ADMINISTRATORS)
    return made


def call(*words: str) -> int:
    return main(["demo", ADA, f"--pool-name={NAME}", *words])


def called(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert call(*words, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def groups(cognito: Any, pool: str) -> list[str]:
    found = cognito.admin_list_groups_for_user(UserPoolId=pool, Username=ADA)["Groups"]
    return [group["GroupName"] for group in found]


# --- with a pool ----------------------------------------------------------------------------


def test_a_person_is_invited_with_a_verified_address(
    cognito: Any, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call() == 0

    person = cognito.admin_get_user(UserPoolId=pool, Username=ADA)
    attributes = {each["Name"]: each["Value"] for each in person["UserAttributes"]}
    assert (attributes["email"], attributes["email_verified"]) == (ADA, "true")
    assert person["UserStatus"] == "FORCE_CHANGE_PASSWORD"
    assert groups(cognito, pool) == []
    assert capsys.readouterr().out.startswith(f"{ADA} was invited; the first password is valid")


def test_a_person_is_invited_as_an_administrator(
    cognito: Any, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(capsys, "--administrator")["isAdministrator"] is True
    assert groups(cognito, pool) == [ADMINISTRATORS]


def test_whoever_is_there_can_become_an_administrator_later(
    cognito: Any, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(capsys)["isAdministrator"] is False

    found = called(capsys, "--administrator")

    assert (found["state"], found["isAdministrator"]) == ("waiting", True)
    assert groups(cognito, pool) == [ADMINISTRATORS]
    # And stays one when the call is repeated without the word.
    assert called(capsys)["isAdministrator"] is True


def test_whoever_has_joined_is_left_alone(
    cognito: Any, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call()
    cognito.admin_set_user_password(
        UserPoolId=pool, Username=ADA, Password=PASSWORD, Permanent=True
    )
    capsys.readouterr()

    found = called(capsys, "--resend")

    assert found == {"email": ADA, "state": "joined", "isAdministrator": False, "validUntil": None}
    person = cognito.admin_get_user(UserPoolId=pool, Username=ADA)
    assert person["UserStatus"] == "CONFIRMED"


def test_whoever_is_blocked_stays_so_and_becomes_no_administrator(
    cognito: Any, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call()
    cognito.admin_disable_user(UserPoolId=pool, Username=ADA)

    assert call("--administrator", "--resend") == 1

    assert "blocked" in capsys.readouterr().out
    assert cognito.admin_get_user(UserPoolId=pool, Username=ADA)["Enabled"] is False
    assert groups(cognito, pool) == []


def test_a_pool_that_does_not_exist_is_named(
    cognito: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    del cognito
    assert call() == 1

    assert f"There is no user pool {NAME}" in capsys.readouterr().err


# --- when an invitation is sent again -------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "resend", "state", "until"),
    [
        (OVER - timedelta(seconds=1), False, State.WAITING, OVER),
        (OVER, False, State.RESENT, OVER + timedelta(days=INVITATION_DAYS)),
        (SENT, True, State.RESENT, OVER),
    ],
    ids=["valid", "over", "asked for"],
)
def test_an_invitation_is_sent_again_when_its_password_is_over(
    *, now: datetime, resend: bool, state: State, until: datetime
) -> None:
    cognito = boto3.client("cognito-idp")
    created = {
        "UserPoolId": "us-east-1_a",
        "Username": ADA,
        "UserAttributes": ANY,
        "DesiredDeliveryMediums": ["EMAIL"],
    }
    with Stubber(cognito) as stub:
        stub.add_client_error(
            "admin_create_user", "UsernameExistsException", expected_params=created
        )
        person = {
            "Username": "0b0a",
            "UserStatus": "FORCE_CHANGE_PASSWORD",
            "Enabled": True,
            "UserLastModifiedDate": SENT,
        }
        stub.add_response("admin_get_user", person)
        if state is State.RESENT:
            # The address, and no attributes: these are set already.
            again = {**created, "MessageAction": "RESEND"}
            del again["UserAttributes"]
            stub.add_response("admin_create_user", {}, again)
        stub.add_response("admin_list_groups_for_user", {"Groups": []})

        found = invite.invite(cognito, "us-east-1_a", Invitation(email=ADA), now=now, resend=resend)

        stub.assert_no_pending_responses()
    assert (found.state, found.valid_until) == (state, until)


# --- the environment ------------------------------------------------------------------------


def test_the_stack_names_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invite, "find_place", lambda _client, name: Place("t", f"pool of {name}"))

    assert find_pool(boto3.Session(), "demo", None) == "pool of demo"


def test_people_of_another_issuer_are_invited_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invite, "find_place", lambda _client, _name: Place("t", None))

    with pytest.raises(NotInvited, match="managed at its issuer"):
        find_pool(boto3.Session(), "demo", None)


def test_an_environment_without_accounts_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find(_client: object, name: str) -> Place:
        raise NoAccounts(f"{name} has no accounts")

    monkeypatch.setattr(invite, "find_place", find)

    assert main(["demo", ADA]) == 1
    assert capsys.readouterr().err == "demo has no accounts\n"


@pytest.mark.parametrize("email", ["", "ada", "a b@example.com", "ada@", "@example.com"])
def test_a_wrong_address_invites_nobody(
    email: str, cognito: Any, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["demo", email, f"--pool-name={NAME}"])

    assert left.value.code == 2
    assert "is not an e-mail address" in capsys.readouterr().err
    assert cognito.list_users(UserPoolId=pool)["Users"] == []


def test_the_demos_pool_and_group_have_the_names_that_are_used_here() -> None:
    makefile = (Path(__file__).parents[4] / "Makefile").read_text()

    assert f"--pool-name {local_pool.NAME})" in makefile
    assert local_pool.ADMINISTRATORS == access.ADMINISTRATORS == ADMINISTRATORS
    assert access.INVITATION_DAYS == INVITATION_DAYS
