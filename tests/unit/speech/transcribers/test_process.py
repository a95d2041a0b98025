"""How a transcriber's process died, in words."""

from __future__ import annotations

import pytest

from speech.transcribers.process import _cause

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
