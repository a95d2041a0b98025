"""Adoption: a conversation without an owner gets one, and no other is taken from its owner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from access.callers import Person
from access.decisions import Action, Allowed, may
from access.store import AccessTable
from access.tokens import person_id
from infra.commands import adopt
from infra.commands.adopt import NotAdopted, find_person, main
from infra.commands.places import Place
from local_cloud.accounts import api
from tests.support.access import NOW
from tests.support.tables import access_table_definition

pytestmark = pytest.mark.unit

TABLE = "cloudscribe-demo-access"
CONVERSATION = "board-2026"
ADA = "a" * 26
SAM = "s" * 26


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_REGION", raising=False)


@pytest.fixture
def table() -> Iterator[AccessTable]:
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(**access_table_definition(TABLE))
        yield AccessTable(TABLE, dynamodb)


@pytest.fixture
def pool(table: AccessTable, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a user pool, which the stack names besides the table."""
    del table  # in the same account
    made = boto3.client("cognito-idp").create_user_pool(
        PoolName="people", UsernameAttributes=["email"]
    )
    found = made["UserPool"]["Id"]
    monkeypatch.setattr(adopt, "find_place", lambda _client, _name: Place(TABLE, found))
    return found


def call(*words: str) -> int:
    return main(["demo", *words, f"--table={TABLE}"])


# --- the record -----------------------------------------------------------------------------


def test_the_owner_manages_and_lists_the_conversation(table: AccessTable) -> None:
    assert call(CONVERSATION, ADA) == 0

    owner = Person(ADA)
    standing = table.load(owner, CONVERSATION)
    assert may(owner, Action.MANAGE, standing, NOW) == Allowed()
    assert table.list_conversations(ADA, limit=10).conversations == (CONVERSATION,)


@pytest.mark.parametrize(("options", "title"), [((), CONVERSATION), (("--title=Board",), "Board")])
def test_the_title_is_the_id_unless_one_is_given(
    table: AccessTable, options: tuple[str, ...], title: str
) -> None:
    call(CONVERSATION, ADA, *options)

    [record] = table.read_records([CONVERSATION])
    assert (record.title, record.people, record.links) == (title, {}, {})


def test_repeating_it_changes_nothing(
    table: AccessTable, capsys: pytest.CaptureFixture[str]
) -> None:
    call(CONVERSATION, ADA, "--title=Board")

    assert call(CONVERSATION, ADA, "--title=Another") == 0

    [record] = table.read_records([CONVERSATION])
    assert (record.title, record.version) == ("Board", 1)
    assert capsys.readouterr().out.splitlines() == [
        f"{CONVERSATION} belongs to {ADA}.",
        f"{CONVERSATION} belongs to {ADA} already.",
    ]


def test_another_owner_keeps_the_conversation(
    table: AccessTable, capsys: pytest.CaptureFixture[str]
) -> None:
    call(CONVERSATION, ADA)

    assert call(CONVERSATION, SAM) == 1

    [record] = table.read_records([CONVERSATION])
    assert record.owner == ADA
    assert table.list_conversations(SAM, limit=10).conversations == ()
    assert "has another owner" in capsys.readouterr().err


# --- the owner ------------------------------------------------------------------------------


def invite(pool: str, email: str) -> str:
    """Create a person; return the `sub`."""
    made = boto3.client("cognito-idp").admin_create_user(UserPoolId=pool, Username=email)
    attributes = {each["Name"]: each["Value"] for each in made["User"]["Attributes"]}
    return attributes["sub"]


def test_an_owner_can_be_named_by_the_address(table: AccessTable, pool: str) -> None:
    subject = invite(pool, "ada@example.com")
    invite(pool, "sam@example.com")

    assert main(["demo", CONVERSATION, "ada@example.com"]) == 0

    # As the API's function computes it of the access token.
    issuer = f"https://cognito-idp.us-east-1.amazonaws.com/{pool}"
    [record] = table.read_records([CONVERSATION])
    assert record.owner == person_id(issuer, subject)


def test_an_address_that_nobody_has_owns_nothing(
    table: AccessTable, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", CONVERSATION, "nobody@example.com"]) == 1

    assert table.read_records([CONVERSATION]) == []
    assert f"Nobody has this e-mail address in the user pool {pool}" in capsys.readouterr().err


def test_an_address_of_several_people_names_none() -> None:
    cognito = boto3.client("cognito-idp")
    users = [{"Attributes": [{"Name": "sub", "Value": each}]} for each in ("1", "2")]
    with Stubber(cognito) as stub:
        stub.add_response("list_users", {"Users": users})
        with pytest.raises(NotAdopted, match="Several people"):
            find_person(cognito, "us-east-1_a", "ada@example.com")


def test_without_a_pool_people_have_ids_only(
    table: AccessTable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(CONVERSATION, "ada@example.com") == 1

    assert table.read_records([CONVERSATION]) == []
    assert "give OWNER as one" in capsys.readouterr().err


# --- wrong calls ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("a b", ADA), "conversation_id"),
        (("", ADA), "conversation_id"),
        ((CONVERSATION, ADA, "--title=a\nb"), "title"),
        ((CONVERSATION, "ada"), "OWNER"),
        ((CONVERSATION, ADA.upper()), "OWNER"),
        ((CONVERSATION, ""), "OWNER"),
        # It would end the quoted text of the filter.
        ((CONVERSATION, 'a"or@example.com'), "OWNER"),
    ],
)
def test_a_wrong_call_writes_nothing(
    table: AccessTable, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], wrong: str
) -> None:
    with pytest.raises(SystemExit) as left:
        call(*words)

    assert left.value.code == 2
    assert wrong in capsys.readouterr().err
    assert table.read_records([CONVERSATION]) == []


# --- the table ------------------------------------------------------------------------------


def test_a_table_that_does_not_exist_is_reported(
    table: AccessTable, capsys: pytest.CaptureFixture[str]
) -> None:
    del table
    assert main(["demo", CONVERSATION, ADA, "--table=another-table"]) == 1

    assert "ResourceNotFound" in capsys.readouterr().err


def test_the_demos_table_has_the_name_in_the_makefile() -> None:
    makefile = (Path(__file__).parents[4] / "Makefile").read_text()

    assert f"--table {api.TABLE})" in makefile
