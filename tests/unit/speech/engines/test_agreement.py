from __future__ import annotations

import pytest

from speech.engines.agreement import Agreement

pytestmark = pytest.mark.unit


def test_words_are_stable_where_two_guesses_agree_from_the_first() -> None:
    agreement = Agreement()

    assert agreement.update(["The"]) == 0
    assert agreement.update(["the", "poor"]) == 1
    assert agreement.update(["The", "paradox", "was"]) == 1
    assert agreement.update(["The", "paradox", "was", "a"]) == 3
    assert agreement.update([]) == 0
