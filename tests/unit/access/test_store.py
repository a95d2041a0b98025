from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from access.callers import Person
from access.decisions import Action, Standing
from access.records import MOST_LINKS, MOST_PEOPLE, Role
from access.store import AccessTable, RecordChanged, Unreadable, record_key
from access.tickets import issue_ticket
from tests.support.access import (
    BEFORE,
    CONVERSATION,
    LATER,
    NOW,
    api_key,
    link,
    record,
    signing_key,
)
from tests.support.tables import access_table_definition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.unit

TABLE = "access"


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(**access_table_definition(TABLE))
        yield client


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> AccessTable:
    return AccessTable(TABLE, dynamodb)


def test_a_created_conversation_reads_back_and_is_listed(table: AccessTable) -> None:
    assert table.create(record())

    assert table.load(Person("ada"), CONVERSATION) == Standing(record())
    assert table.list_conversations("ada", limit=10).conversations == (CONVERSATION,)
    assert table.read_records([CONVERSATION, "gone"]) == [record()]


def test_an_id_is_created_once(table: AccessTable) -> None:
    table.create(record())

    assert not table.create(record(owner="mallory"))
    assert table.load(None, CONVERSATION).record == record()
    assert table.list_conversations("mallory", limit=10).conversations == ()


def test_a_change_raises_the_version_and_only_the_read_one_is_replaced(table: AccessTable) -> None:
    table.create(record())
    renamed = table.replace(record(), record(title="Renamed"))

    assert renamed.version == 2
    assert table.load(None, CONVERSATION).record == renamed
    with pytest.raises(RecordChanged):
        table.replace(record(), record(title="Renamed by somebody else"))
    assert table.load(None, CONVERSATION).record == renamed


def test_a_conversation_is_listed_for_whoever_has_a_role(table: AccessTable) -> None:
    alone = record(people={})
    table.create(alone)
    with_sam = table.replace(alone, record(people={"sam": Role.READER}))

    assert table.list_conversations("sam", limit=10).conversations == (CONVERSATION,)
    table.replace(with_sam, alone)
    assert table.list_conversations("sam", limit=10).conversations == ()


def test_conversations_are_listed_in_pages_newest_first(table: AccessTable) -> None:
    for number in range(5):
        moment = BEFORE + timedelta(seconds=number)
        table.create(record(conversation_id=f"c{number}", created_at=moment))

    found: list[str] = []
    cursor = None
    while True:
        page = table.list_conversations("ada", limit=2, cursor=cursor)
        found += page.conversations
        cursor = page.cursor
        if cursor is None:
            break

    assert found == ["c4", "c3", "c2", "c1", "c0"]


def test_the_fullest_record_can_be_stored(table: AccessTable) -> None:
    links = {f"l{number:025}": link(label="l" * 64) for number in range(MOST_LINKS)}
    people = {f"{number:0>64}": Role.READER for number in range(MOST_PEOPLE)}
    fullest = record(title="t" * 200, links=links, people=people)
    table.create(record(people={}))

    # DynamoDB takes 100 writes in a transaction: all people at once are one too many.
    half = dict(list(people.items())[: MOST_PEOPLE // 2])
    first = table.replace(record(people={}), record(people=half))
    stored = table.replace(first, fullest)

    assert table.load(None, CONVERSATION).record == stored


def test_a_standing_has_all_that_a_decision_needs(table: AccessTable) -> None:
    table.create(record())
    table.add_key(api_key("ada"))
    table.set_blocked("ada", is_blocked=True)

    standing = table.load(Person("ada", key="k1"), CONVERSATION)

    assert standing == Standing(record(), is_blocked=True, key=api_key("ada"))
    assert table.load(Person("sam")) == Standing()


def test_a_blocked_person_can_be_let_in_again(table: AccessTable) -> None:
    table.set_blocked("ada", is_blocked=True)
    assert table.is_blocked("ada")
    table.set_blocked("ada", is_blocked=False)

    assert not table.is_blocked("ada")
    assert table.load(Person("ada")) == Standing()


def test_keys_are_listed_for_their_person_until_they_are_revoked(table: AccessTable) -> None:
    table.add_key(api_key("ada"))
    table.add_key(api_key("sam", key_id="k2"))

    assert table.list_keys("ada", limit=10) == [api_key("ada")]
    assert table.find_key("k2") == api_key("sam", key_id="k2")
    table.remove_key(api_key("ada"))
    assert table.list_keys("ada", limit=10) == []
    assert table.find_key("k1") is None


def test_a_ticket_is_used_once(table: AccessTable) -> None:
    ticket = issue_ticket(
        Person("ada"), Action.SPEAK, CONVERSATION, languages=None, ends_at=None, now=NOW
    )

    assert [table.use_ticket(ticket, attempt) for attempt in "aab"] == [True, True, False]


def test_a_public_key_reads_back(table: AccessTable) -> None:
    key = signing_key()
    table.publish_key(key.id, key.key.public_key(), LATER)

    table.publish_key("over", key.key.public_key(), BEFORE - timedelta(days=1))

    assert table.list_public_keys(NOW) == {key.id: key.key.public_key()}


def test_a_malformed_record_is_named_without_its_content(
    table: AccessTable, dynamodb: DynamoDBClient
) -> None:
    partition, sort = record_key(CONVERSATION)
    item = {"partition": {"S": partition}, "sort": {"S": sort}, "document": {"S": '{"a": "word"}'}}
    dynamodb.put_item(TableName=TABLE, Item=item)

    with pytest.raises(Unreadable) as error:
        table.load(None, CONVERSATION)

    assert "word" not in str(error.value)


def test_more_items_than_one_call_takes_are_read(table: AccessTable) -> None:
    ids = [f"c{number}" for number in range(150)]
    for id_ in ids:
        table.create(record(conversation_id=id_))

    assert [each.conversation_id for each in table.read_records(ids)] == ids
