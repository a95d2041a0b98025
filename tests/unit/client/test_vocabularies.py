"""Vocabularies from the client's side: calls as Amazon's model has them, and its refusals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from client.errors import AccessRefused, ClientError, NoSuchVocabulary
from client.vocabularies import FILTER, PATIENCE_SECONDS, VOCABULARY, Vocabularies
from speech.vocabularies import Entries

pytestmark = pytest.mark.unit

WORDS = Entries(("Ada-Lovelace",))
WHEN = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def aws() -> Any:
    return boto3.session.Session().client(
        "transcribe",
        region_name="eu-central-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106 - made up
    )


@pytest.fixture
def stub(aws: Any) -> Iterator[Stubber]:
    with Stubber(aws) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def account(aws: Any) -> Vocabularies:
    return Vocabularies(aws)


def nowhere() -> str:
    raise AssertionError("a list is not uploaded")


def described(state: str, **more: str) -> dict[str, Any]:
    return {
        "VocabularyName": "names",
        "LanguageCode": "en-US",
        "LastModifiedTime": WHEN,
        "VocabularyState": state,
    } | more


@pytest.mark.parametrize(
    ("code", "status"),
    [("NotFoundException", 404), ("BadRequestException", 400)],
    ids=["as the model has it", "as Amazon answers"],
)
def test_a_new_one_is_created(account: Vocabularies, stub: Stubber, code: str, status: int) -> None:
    stub.add_client_error("get_vocabulary", code, http_status_code=status)
    stub.add_response(
        "create_vocabulary",
        described("PENDING"),
        {"VocabularyName": "names", "LanguageCode": "en-US", "Phrases": ["Ada-Lovelace"]},
    )

    stored, is_new = account.put(VOCABULARY, "names", "EN-us", WORDS, nowhere)

    assert is_new
    assert stored.state == "PENDING"


def test_a_table_is_named_by_its_address(account: Vocabularies, stub: Stubber) -> None:
    stub.add_response("get_vocabulary", described("READY"))
    stub.add_response(
        "update_vocabulary",
        {"VocabularyName": "names", "LanguageCode": "en-US", "VocabularyState": "PENDING"},
        {
            "VocabularyName": "names",
            "LanguageCode": "en-US",
            "VocabularyFileUri": "s3://files/names.txt",
        },
    )
    table = Entries(("Ada-Lovelace",), is_table=True)

    _, is_new = account.put(VOCABULARY, "names", None, table, lambda: "s3://files/names.txt")

    assert not is_new


def test_a_filter_is_replaced_without_a_language(account: Vocabularies, stub: Stubber) -> None:
    there = {"VocabularyFilterName": "oaths", "LanguageCode": "en-US"}
    stub.add_response("get_vocabulary_filter", there)
    stub.add_response(
        "update_vocabulary_filter",
        there,
        {"VocabularyFilterName": "oaths", "Words": ["Ada-Lovelace"]},
    )

    stored, _ = account.put(FILTER, "oaths", "en-US", WORDS, nowhere)

    assert stored.state == "READY"


def test_waiting_ends_when_it_is_ready(account: Vocabularies, stub: Stubber) -> None:
    for state in ("PENDING", "PENDING", "READY"):
        stub.add_response("get_vocabulary", described(state))
    slept: list[float] = []

    seen = [stored.state for stored, _ in account.poll("names", sleep=slept.append)]

    assert seen == ["PENDING", "PENDING", "READY"]
    assert slept == [0.5, 1.0]


def test_patience_ends(account: Vocabularies, aws: Any) -> None:
    aws.get_vocabulary = lambda **_: described("PENDING")
    slept: list[float] = []

    *_, (last, waited) = account.poll("names", sleep=slept.append)

    assert last.state == "PENDING"
    assert PATIENCE_SECONDS <= waited == sum(slept) < PATIENCE_SECONDS + 11


def test_a_failure_has_amazons_reason(account: Vocabularies, stub: Stubber) -> None:
    stub.add_response("get_vocabulary", described("FAILED", FailureReason="Unsupported character."))

    line = account.get(VOCABULARY, "names").line()

    assert line == "names: FAILED, en-US, of 2026-11-30 00:00: Unsupported character."


def test_lists_are_read_to_their_end(account: Vocabularies, stub: Stubber) -> None:
    one, two = described("READY"), described("READY", VocabularyName="more")
    stub.add_response(
        "list_vocabularies", {"Vocabularies": [one], "NextToken": "t"}, {"MaxResults": 100}
    )
    stub.add_response(
        "list_vocabularies", {"Vocabularies": [two]}, {"MaxResults": 100, "NextToken": "t"}
    )

    assert [stored.name for stored in account.all(VOCABULARY)] == ["names", "more"]


@pytest.mark.parametrize(
    ("code", "status", "kind", "words"),
    [
        ("NotFoundException", 404, NoSuchVocabulary, "no vocabulary names"),
        ("BadRequestException", 400, AccessRefused, "refuses the vocabulary names: Why."),
        ("ConflictException", 409, AccessRefused, "try again: Why."),
        ("LimitExceededException", 429, AccessRefused, "Delete one"),
        ("InternalFailureException", 500, ClientError, "try again later"),
        ("AccessDeniedException", 400, AccessRefused, "transcribe:CreateVocabulary"),
        ("InvalidAction", 400, AccessRefused, "ENGINE=transcribe"),
    ],
)
def test_refusals_come_with_advice(  # noqa: PLR0917 - fixtures
    account: Vocabularies,
    stub: Stubber,
    code: str,
    status: int,
    kind: type[ClientError],
    words: str,
) -> None:
    stub.add_client_error("delete_vocabulary", code, "Why.", http_status_code=status)

    with pytest.raises(kind, match=words):
        account.delete(VOCABULARY, "names")


def test_what_is_not_there_cannot_be_deleted(account: Vocabularies, stub: Stubber) -> None:
    message = "The requested vocabulary couldn't be found. Check the vocabulary name."
    stub.add_client_error("delete_vocabulary", "BadRequestException", message)

    with pytest.raises(NoSuchVocabulary):
        account.delete(VOCABULARY, "names")
