from __future__ import annotations

import pytest

from client.errors import UsageError
from client.live.endpoints import (
    connect_parameters,
    engine_options,
    languages_url,
    live_url,
    transcribe_parameters,
)

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
    url = live_url(base, connect_parameters("c"))
    query = {"conversationId": "c", "mode": "live"}
    assert str(url.with_query({"conversationId": "c"})) == expected
    assert dict(url.query) == query


def test_parameters_go_into_the_query_and_are_escaped() -> None:
    parameters = transcribe_parameters(sample_rate=44_100, speaker="Ada & Bob", language=None)
    url = live_url("http://localhost", parameters)
    assert dict(url.query) == {
        "sampleRate": "44100",
        "channels": "1",
        "channelMode": "mixed",
        "speaker": "Ada & Bob",
        "language": "en-US",
        "options": "{}",
    }
    assert "&+Bob" not in url.raw_query_string


def test_options_go_into_the_query_as_the_json_that_they_are() -> None:
    parameters = transcribe_parameters(sample_rate=8_000, options='{"show-speaker-label":"true"}')
    url = live_url("http://localhost", parameters)

    assert url.query["options"] == '{"show-speaker-label":"true"}'


def test_options_are_given_as_names_and_values() -> None:
    options = engine_options(["show-speaker-label=true", "filter=a=b"])
    parameters = transcribe_parameters(sample_rate=8_000, options=options)
    assert parameters.options == {"show-speaker-label": "true", "filter": "a=b"}


@pytest.mark.parametrize("options", [["no-value"], ["=true"], ["twice=1", "twice=2"]])
def test_an_incomplete_option_is_a_usage_error(options: list[str]) -> None:
    with pytest.raises(UsageError, match="--option"):
        engine_options(options)


def test_a_language_to_read_goes_into_the_query_when_there_is_one() -> None:
    assert "language" not in live_url("http://host", connect_parameters("c")).query
    french = connect_parameters("c", language="fr")
    assert live_url("http://host", french).query["language"] == "fr"
    with pytest.raises(UsageError, match="language"):
        connect_parameters("c", language="no such thing")


def test_languages_are_asked_for_where_the_sockets_are() -> None:
    url = languages_url("wss://captions.example/stage/")
    assert str(url) == "https://captions.example/stage/api/stt/languages"


@pytest.mark.parametrize("base", ["", "localhost:8080", "ftp://example", "http://", "http://[::1"])
def test_what_is_not_a_url_is_a_usage_error(base: str) -> None:
    with pytest.raises(UsageError):
        live_url(base, connect_parameters("c"))


@pytest.mark.parametrize("conversation", ["", "with space", "-first", "x" * 10_000, "é"])
def test_a_conversation_id_is_checked_before_anything_is_sent(conversation: str) -> None:
    with pytest.raises(UsageError, match=r"^conversation: must be 1 to 128 letters, digits"):
        connect_parameters(conversation)


def test_what_is_wanted_is_in_the_query_as_a_one_and_what_is_not_is_left_out() -> None:
    speaker = transcribe_parameters(sample_rate=8_000, resume=True, attempt=3)
    query = live_url("http://localhost", speaker).query
    assert (query["resume"], query["attempt"]) == ("1", "3")
    viewer = connect_parameters("c").model_copy(update={"heartbeat": True, "since": "p-1"})
    query = live_url("http://localhost", viewer).query
    assert (query["heartbeat"], query["since"]) == ("1", "p-1")
    assert (
        "resume" not in live_url("http://localhost", transcribe_parameters(sample_rate=8_000)).query
    )
