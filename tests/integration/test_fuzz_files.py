"""Broken recordings; `python -m tests.fuzz.files` decodes more of them."""

from __future__ import annotations

import pytest

from tests.fuzz.files import faults

pytestmark = pytest.mark.integration


def test_a_broken_recording_is_never_a_failure_of_the_decoder() -> None:
    found, verdicts = faults(range(400))

    assert found == []
    assert set(verdicts) == {"audio", "NotAudio", "CorruptAudio"}
