from __future__ import annotations

import pytest

from client.endpoints import (
    connect_parameters,
    connect_url,
    transcribe_parameters,
    transcribe_url,
)
from client.errors import UsageError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/api/stt/connect?conversationId=c"),
        ("https://captions.example/", "wss://captions.example/api/stt/connect?conversationId=c"),
        ("wss://example/stage", "wss://example/stage/api/stt/connect?conversationId=c"),
    ],
)
def test_the_url_of_the_page_leads_to_the_socket(base: str, expected: str) -> None:
    url = connect_url(base, connect_parameters("c"))
    query = {"conversationId": "c", "mode": "live"}
    assert str(url.with_query({"conversationId": "c"})) == expected
    assert dict(url.query) == query


def test_parameters_go_into_the_query_and_are_escaped() -> None:
    parameters = transcribe_parameters(sample_rate=44_100, speaker="Ada & Bob", language=None)
    url = transcribe_url("http://localhost", parameters)
    assert dict(url.query) == {
        "sampleRate": "44100",
        "channels": "1",
        "channelMode": "mixed",
        "speaker": "Ada & Bob",
        "language": "en-US",
        "options": "{}",
    }


def test_options_go_into_the_query_as_the_json_that_they_are() -> None:
    parameters = transcribe_parameters(sample_rate=8_000, options='{"show-speaker-label":"true"}')
    url = transcribe_url("http://localhost", parameters)

    assert url.query["options"] == '{"show-speaker-label":"true"}'
    assert "&+Bob" not in url.raw_query_string


@pytest.mark.parametrize("base", ["", "localhost:8080", "ftp://example", "http://", "http://[::1"])
def test_what_is_not_a_url_is_a_usage_error(base: str) -> None:
    with pytest.raises(UsageError):
        connect_url(base, connect_parameters("c"))


@pytest.mark.parametrize("conversation", ["", "with space", "-first", "x" * 10_000, "é"])
def test_a_conversation_id_is_checked_before_anything_is_sent(conversation: str) -> None:
    with pytest.raises(UsageError, match="conversation_id"):
        connect_parameters(conversation)
