from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from pydantic import ValidationError

from lambdas.transcript_processor.process import PoisonMessage, PutResult, parse, process
from tests.support.tables import table_definition
from tests.support.utterances import BEGIN, conversation, utterance, utterances
from transcripts.models import Utterance

pytestmark = pytest.mark.unit

HANDLER = "lambdas.transcript_processor.handler"
SECRET = "the secret of the meeting"  # noqa: S105 - a text, not a password

CONTEXT = SimpleNamespace(
    function_name="transcript-processor",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-central-1:000000000000:function:transcript-processor",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 10_000,
)


def body(spoken: Utterance) -> str:
    return spoken.model_dump_json(by_alias=True)


def poison() -> str:
    return json.dumps(json.loads(body(utterance(text=SECRET))) | {"speaker": SECRET * 9})


def batch(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [
            {"messageId": str(n), "body": text, "eventSource": "aws:sqs"}
            for n, text in enumerate(bodies)
        ]
    }


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module after a cold start, its table in moto."""
    monkeypatch.setenv("TABLE_NAME", "conversations")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")  # must not help
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delitem(sys.modules, HANDLER, raising=False)
    with mock_aws():
        module = importlib.import_module(HANDLER)
        module.dynamodb.create_table(**table_definition("conversations"))
        yield module


@pytest.fixture
def logs(handler: ModuleType) -> io.StringIO:
    stream = io.StringIO()
    handler.logger.registered_handler.setStream(stream)
    return stream


@given(utterances)
def test_the_json_of_an_utterance_is_read_as_the_same_utterance(spoken: Utterance) -> None:
    assert parse(body(spoken)) == spoken


@given(st.text() | st.recursive(st.none() | st.text(), st.lists, max_leaves=5).map(json.dumps))
def test_anything_else_is_a_poison_message(text: str) -> None:
    with pytest.raises(PoisonMessage):
        parse(text)


def test_a_poison_message_names_the_place_and_not_the_content() -> None:
    with pytest.raises(PoisonMessage) as caught:
        parse(poison())

    assert str(caught.value) == "speaker: malformed"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(("new", "outcome"), [(True, "stored"), (False, "duplicate")])
def test_what_was_stored_before_counts_as_success(new: bool, outcome: str) -> None:  # noqa: FBT001 - a parametrised case
    spoken = utterance()

    assert process(body(spoken), SimpleNamespace(put=lambda _: new)) == (spoken, PutResult(outcome))


def test_the_handler_stores_a_batch_and_repeats_change_nothing(handler: ModuleType) -> None:
    talk = conversation()
    one, two = utterance(talk, text="one"), utterance(talk, text="two")

    for _ in range(3):
        answer = handler.handler(batch(body(one), body(two), body(one)), CONTEXT)
        assert answer == {"batchItemFailures": []}

    stored = handler.table.since(talk, BEGIN)
    assert sorted(each.text for each in stored) == ["one", "two"]


def test_only_the_failed_messages_of_a_batch_are_reported(handler: ModuleType) -> None:
    talk = conversation()
    spoken = utterance(talk)

    answer = handler.handler(batch(poison(), body(spoken), "not json"), CONTEXT)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "0"}, {"itemIdentifier": "2"}]}
    assert handler.table.since(talk, BEGIN) == [spoken]


def test_an_entire_batch_of_poison_is_reported_and_does_not_crash(handler: ModuleType) -> None:
    assert handler.handler(batch("poison"), CONTEXT) == {
        "batchItemFailures": [{"itemIdentifier": "0"}]
    }


def test_a_message_is_reported_when_the_table_cannot_be_written(
    handler: ModuleType, logs: io.StringIO
) -> None:
    handler.dynamodb.delete_table(TableName="conversations")

    answer = handler.handler(batch(body(utterance(text=SECRET))), CONTEXT)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert "ResourceNotFoundException" in logs.getvalue()
    assert SECRET not in logs.getvalue()


def test_messages_for_which_there_is_no_time_are_left_to_another_invocation(
    handler: ModuleType,
) -> None:
    talk = conversation()
    one, two, three = (utterance(talk, text=text) for text in ("one", "two", "three"))
    slow_table = iter((10_000, 5_000, 100))
    context = SimpleNamespace(
        **{**vars(CONTEXT), "get_remaining_time_in_millis": lambda: next(slow_table)}
    )

    answer = handler.handler(batch(body(one), body(two), body(three)), context)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert {each.text for each in handler.table.since(talk, BEGIN)} == {"one", "two"}


def test_no_text_is_logged_but_the_ids_are(
    handler: ModuleType, logs: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    spoken = utterance(conversation(), text=SECRET)

    handler.handler(batch(body(spoken), body(spoken), poison(), f'"{SECRET}"'), CONTEXT)

    printed = logs.getvalue() + capsys.readouterr().out
    assert spoken.conversation_id in printed
    assert spoken.utterance_id in printed
    assert SECRET not in printed


def test_outcomes_are_counted(handler: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    spoken = utterance(conversation())

    handler.handler(batch(body(spoken), body(spoken), "poison"), CONTEXT)

    lines = capsys.readouterr().out.splitlines()
    metrics = next(json.loads(line) for line in lines if "_aws" in line)
    names = ("UtterancesStored", "UtterancesDuplicate", "PoisonMessages")
    assert [metrics[name] for name in names] == [[1.0], [1.0], [1.0]]


def test_a_wrong_setting_fails_at_the_cold_start_and_does_not_quote_the_environment(
    handler: ModuleType,
) -> None:
    with pytest.raises(ValidationError) as caught:
        handler.Settings.model_validate({"AWS_SECRET_ACCESS_KEY": "abc"})

    assert "TABLE_NAME" in str(caught.value)
    assert "abc" not in str(caught.value)
