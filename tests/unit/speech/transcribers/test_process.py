"""A transcriber's process: its environment, and how it died, in words."""

from __future__ import annotations

import pytest

from speech.transcribers.choice import TranscriberSpec
from speech.transcribers.process import _cause, _environment

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, ""),
        (1, " with status 1"),
        (-11, " by SIGSEGV"),
        (-9, " by SIGKILL, as where the machine's memory is not enough"),
        (-250, " by signal 250"),
    ],
)
def test_the_cause_of_a_death_is_in_its_error(code: int | None, words: str) -> None:
    assert _cause(code) == words


def test_the_process_of_a_transcriber_has_no_secret_and_reports_to_nobody() -> None:
    environment = _environment(
        {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "ORT_DISABLE_TELEMETRY": "0"},
        TranscriberSpec(),
    )

    assert environment["PATH"] == "/bin"
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"
    assert "AWS_SECRET_ACCESS_KEY" not in environment
