from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from client.commands import app
from client.errors import ClientError, ExitCode, Refused
from transcripts.protocol import ErrorCode

pytestmark = pytest.mark.unit


def test_every_error_has_an_exit_code_that_help_and_page_explain() -> None:
    printed = " ".join(CliRunner().invoke(app, ["stream", "--help"]).output.split())
    page = (Path(__file__).parents[3] / "docs" / "client.md").read_text()
    for code in ExitCode:
        assert f"{code:d} {code.meaning.split(' (')[0].split(',')[0].split(' ')[0]}" in printed
        assert f"| {code:d} | {code.meaning} |" in page
    for kind in ClientError.__subclasses__():
        assert kind.exit_code not in {ExitCode.OK, ExitCode.INTERRUPTED}


def test_a_refusal_says_why_and_when_to_come_back() -> None:
    refused = Refused(ErrorCode.AT_CAPACITY, "Every slot is taken.", 12.5)
    assert str(refused) == "at_capacity: Every slot is taken. Try again in 12.5 s."
    assert refused.retryable


def test_a_refusal_for_good_says_so() -> None:
    refused = Refused(ErrorCode.INVALID_AUDIO, "Odd.")
    assert str(refused) == "invalid_audio: Odd. Trying again will not help."
    assert not refused.retryable


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (ErrorCode.INVALID_OPTION, "Leave it out"),
        (ErrorCode.UNSUPPORTED_LANGUAGE, "python -m client languages"),
    ],
)
def test_a_refusal_of_a_wish_says_what_to_do(code: ErrorCode, advice: str) -> None:
    assert advice in str(Refused(code, "Not this one."))


def test_a_wrong_command_line_exits_with_2() -> None:
    assert CliRunner().invoke(app, ["stream"]).exit_code == ExitCode.USAGE
    assert CliRunner().invoke(app, ["shout"]).exit_code == ExitCode.USAGE
