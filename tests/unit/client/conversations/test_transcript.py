"""`transcript` against a table in memory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pysubs2
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from typer.testing import CliRunner, Result

from client.cli.app import app
from client.conversations.formats import format_utterances, parse_moment
from client.errors import ExitCode, UsageError
from client.formats import TranscriptFormat
from tests.support.tables import table_definition
from tests.support.utterances import BEGIN, utterance, utterances
from transcripts.conversations import ConversationTable
from transcripts.documents import ConversationTranscript
from transcripts.models import Utterance

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
ABOUT = ConversationTranscript(conversation_id="talk", created_at=NOW)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConversationTable]:
    monkeypatch.setenv("CONVERSATIONS_TABLE", "conversations")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        client: DynamoDBClient = boto3.client("dynamodb")
        client.create_table(**table_definition("conversations"))
        # What nobody reads back would expire.
        yield ConversationTable("conversations", client, retention=timedelta(days=36_500))


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["transcript", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def spoken(text: str, at: float, *, speaker: str = "Ada", lasts: float = 1.0) -> Utterance:
    """Return an utterance that began `at` seconds after the conversation."""
    return utterance(
        text=text,
        speaker=speaker,
        timestamp=BEGIN + timedelta(seconds=at),
        start_time=7.0,  # on the timeline of its own stream
        end_time=7.0 + lasts,
        words=(),
    )


def test_a_conversation_comes_back_in_every_format(table: ConversationTable) -> None:
    for each in (
        spoken("good morning", 0),
        spoken("hello", 3, speaker="Bob"),
        spoken("how are you", 5, speaker="Bob"),
    ):
        table.put(each)

    assert run("talk").stdout == "Ada: good morning\nBob: hello\nhow are you\n"
    subtitles = pysubs2.SSAFile.from_string(run("talk", "--format", "srt").stdout)
    assert [(cue.start, cue.text) for cue in subtitles] == [
        (0, "good morning"),
        (3_000, "- hello"),
        (5_000, "how are you"),
    ]
    vtt = webvtt.from_string(run("talk", "--format", "vtt").stdout)
    assert [cue.voice for cue in vtt.captions] == ["Ada", "Bob", "Bob"]
    document = ConversationTranscript.model_validate_json(run("talk", "--format", "json").stdout)
    assert document.utterances == tuple(table.read("talk"))


def test_people_who_speak_at_once_are_placed_by_the_clock(table: ConversationTable) -> None:
    table.put(spoken("a long story", 0, lasts=3))
    table.put(spoken("yes", 2, speaker="Bob"))
    table.put(spoken("the sea", 12))

    shown = pysubs2.SSAFile.from_string(run("talk", "--format", "srt").stdout)

    assert [(cue.start, cue.text) for cue in shown] == [
        (0, "a long story"),
        (2_000, "- yes"),
        (12_000, "- the sea"),
    ]
    assert all(one.end <= other.start for one, other in pairwise(shown))


def test_utterances_since_a_moment_are_timed_from_there(table: ConversationTable) -> None:
    table.put(spoken("before", 0))
    table.put(spoken("after", 60))

    since = (BEGIN + timedelta(seconds=1)).isoformat()
    result = run("talk", "--format", "srt", "--since", since)
    nothing = run("talk", "--since", "0s")

    assert result.stdout == "1\n00:00:00,000 --> 00:00:01,000\nafter\n"
    assert (nothing.exit_code, nothing.stdout) == (ExitCode.OK, "")
    assert "nothing was said since 0s" in nothing.stderr


def test_more_than_one_page_is_read_to_its_end(table: ConversationTable, tmp_path: Path) -> None:
    for at in range(30):  # 1.2 MB; a page has one
        table.put(spoken("ä" * 19_990 + f" {at}", at))

    result = run("talk", "--output", str(tmp_path / "talk.txt"))

    assert (result.exit_code, result.stdout) == (ExitCode.OK, "")
    lines = (tmp_path / "talk.txt").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == [str(at) for at in range(30)]


def test_stored_text_cannot_command_a_terminal(table: ConversationTable) -> None:
    table.put(spoken("red \x1b[31m and \x9b2J and \u202e end", 0))

    for wanted in TranscriptFormat:
        shown = run("talk", "--format", wanted).stdout
        assert "\x1b" not in shown
        assert "\x9b" not in shown
    document = json.loads(run("talk", "--format", "json").stdout)
    assert document["utterances"][0]["text"] == "red \x1b[31m and \x9b2J and \u202e end"


def test_what_is_not_stored_and_where_nothing_can_be_read_are_named(
    table: ConversationTable,
) -> None:
    table.put(spoken("something", 0))

    for arguments, code, words in (
        (("nobody",), ExitCode.NO_SUCH_RECORDING, "nothing is stored"),
        (("nobody", "--since", "2h"), ExitCode.NO_SUCH_RECORDING, "nothing is stored"),
        (("my meeting",), ExitCode.USAGE, "letters, digits"),
        (("talk", "--since", "yesterday"), ExitCode.USAGE, "how long ago"),
        (("talk", "--table", "another"), ExitCode.REFUSED, "There is no table another"),
        (("talk", "--table", ""), ExitCode.USAGE, "No table is named"),
        (("talk", "--output", "/nowhere/at/all"), ExitCode.OUTPUT_FAILED, "cannot be written"),
    ):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (code, "")
        assert words in result.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("1d12h30m5s", NOW - timedelta(days=1, hours=12, minutes=30, seconds=5)),
        ("0s", NOW),
        ("2026-11-20T17:00:00+01:00", datetime(2026, 11, 20, 16, tzinfo=UTC)),
        ("2026-11-20T16:00Z", datetime(2026, 11, 20, 16, tzinfo=UTC)),
        ("2026-11-20T16:00", datetime(2026, 11, 20, 16).astimezone()),
        ("0001-01-01", datetime(1970, 1, 1, tzinfo=UTC)),
        ("99999999999999999999d", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_how_long_ago(given: str, expected: datetime) -> None:
    assert parse_moment(given, NOW) == expected


@given(st.text() | st.from_regex(r"[0-9dhms]{0,30}", fullmatch=True))
def test_what_is_no_moment_is_a_wrong_command_line(given: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_moment(given, NOW).tzinfo is not None


@given(st.lists(utterances, max_size=4))
def test_a_document_is_json_whatever_its_texts(stored: list[Utterance]) -> None:
    text = b"".join(format_utterances(ABOUT, stored, TranscriptFormat.JSON))
    assert ConversationTranscript.model_validate_json(text) == ABOUT.model_copy(
        update={"utterances": tuple(stored)}
    )
