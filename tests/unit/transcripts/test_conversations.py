from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from moto import mock_aws

from tests.support.tables import table_definition
from tests.support.utterances import BEGIN, utterance, utterances
from transcripts.conversations import (
    EXPIRY,
    PARTITION_KEY,
    SORT_KEY,
    ConversationTable,
    UnreadableItem,
    from_item,
    key_of,
    to_item,
)
from transcripts.models import Utterance, Word

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.unit

WEEK = timedelta(days=7)


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        client.create_table(**table_definition("conversations"))
        yield client


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> ConversationTable:
    return ConversationTable("conversations", dynamodb, retention=WEEK)


@given(utterances)
def test_an_item_gives_back_exactly_the_utterance_it_was_made_of(spoken: Utterance) -> None:
    assert from_item(to_item(spoken, WEEK)) == spoken


def test_an_item_expires_after_the_retention_counted_from_its_utterance() -> None:
    item = to_item(utterance(timestamp=BEGIN), timedelta(days=1))

    assert int(item[EXPIRY]["N"]) == int(BEGIN.timestamp()) + 86_400


def test_an_utterance_is_stored_once_and_never_rewritten(table: ConversationTable) -> None:
    first = utterance("talk", text="first")
    second = first.model_copy(update={"text": "second"})

    assert table.put(first) is True
    assert table.put(first) is False
    assert table.put(second) is False
    assert table.since("talk", BEGIN) == [first]


def test_utterances_come_oldest_first_from_the_moment_on(table: ConversationTable) -> None:
    moments = [BEGIN + timedelta(milliseconds=each) for each in (-1, 0, 1, 60_000)]
    spoken = [utterance("talk", timestamp=moment) for moment in moments]
    for each in reversed(spoken):
        table.put(each)
    table.put(utterance("another talk".replace(" ", "-"), timestamp=BEGIN))

    assert table.since("talk", BEGIN) == spoken[1:]


def test_the_table_distinguishes_stored_and_missing_keys(table: ConversationTable) -> None:
    here, there = utterance("talk"), utterance("another")
    table.put(here)
    table.put(there)
    absent = key_of(utterance("talk"))
    asked = [key_of(here), key_of(there), absent, absent]

    assert table.has(asked) == {key_of(here): True, key_of(there): True, absent: False}


def test_a_key_that_dynamodb_had_no_time_for_is_left_out(
    dynamodb: DynamoDBClient, table: ConversationTable
) -> None:
    late, absent = key_of(utterance("talk")), key_of(utterance("talk"))
    left = {"conversations": {"Keys": [{PARTITION_KEY: {"S": late[0]}, SORT_KEY: {"S": late[1]}}]}}
    with Stubber(dynamodb) as stub:
        stub.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": left})

        assert table.has([late, absent]) == {absent: False}


def test_a_conversation_of_which_nothing_is_stored_is_empty(table: ConversationTable) -> None:
    assert table.since("silence", BEGIN) == []


def test_a_conversation_beyond_one_page_of_a_megabyte_comes_whole(
    table: ConversationTable,
) -> None:
    spoken = [
        utterance("talk", timestamp=BEGIN + timedelta(seconds=n), text="\N{COMET}" * 20_000)
        for n in range(30)
    ]
    for each in spoken:
        table.put(each)

    assert table.since("talk", BEGIN) == spoken


def test_the_longest_text_with_many_words_fits_into_an_item(table: ConversationTable) -> None:
    words = tuple(
        Word(word="a", start_time=n + 0.123456789, end_time=n + 0.987654321, confidence=0.123456)
        for n in range(1_500)
    )
    spoken = utterance("talk", text="\N{GRINNING FACE}" * 20_000, words=words)

    assert table.put(spoken) is True
    assert table.since("talk", BEGIN) == [spoken]


def test_words_beyond_what_an_item_holds_are_left_out_and_the_text_is_kept(
    table: ConversationTable, caplog: pytest.LogCaptureFixture
) -> None:
    word = Word(word="pneumonoultramicroscopic" * 10, start_time=0, end_time=1, confidence=1)
    spoken = utterance("talk", words=(word,) * 1_500)

    assert table.put(spoken) is True

    assert table.since("talk", BEGIN) == [spoken.model_copy(update={"words": ()})]
    assert spoken.utterance_id in caplog.text
    assert "pneumono" not in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        {"text": {"N": "1"}},
        {"text": {"S": ""}},
        {"startTime": {"N": "-1"}},
        {"startTime": {"S": "secret"}},
        {"words": {"S": "[["}},
        {"words": {"S": "[" * 100_000}},
        {"words": {"S": '[["secret", 1, 2]]'}},
        {"language": {"S": "secret language"}},
        {SORT_KEY: {"S": "2026-11-20T17:29:04.000Z"}},
        {SORT_KEY: {"S": "yesterday#secret"}},
    ],
)
def test_an_item_that_cannot_be_read_is_skipped_and_its_content_not_logged(
    damage: dict[str, dict[str, str]],
    dynamodb: DynamoDBClient,
    table: ConversationTable,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = utterance("talk", timestamp=BEGIN + timedelta(seconds=9))
    table.put(good)
    item = to_item(utterance("talk", text="secret"), WEEK) | damage
    dynamodb.put_item(TableName="conversations", Item=item)

    with caplog.at_level(logging.WARNING):
        assert table.since("talk", BEGIN) == [good]

    assert "unreadable item skipped: conversation talk" in caplog.text
    assert "secret" not in caplog.text.replace(item[SORT_KEY]["S"], "")


def test_a_missing_attribute_is_named() -> None:
    item = to_item(utterance(), WEEK)
    del item["speaker"]

    with pytest.raises(UnreadableItem, match="speaker"):
        from_item(item)
