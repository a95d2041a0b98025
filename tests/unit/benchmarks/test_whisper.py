"""What the benchmark of long recordings compares."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.whisper import Measured, Utterance, compare, onset, verdicts, words

pytestmark = pytest.mark.unit


def measured(
    way: str, minutes: float, *, wer: float = 0.1, p90: float = 0.3, peak: int = 100
) -> Measured:
    return Measured(
        way=way,
        minutes=minutes,
        seconds=60.0,
        peak=peak,
        word_error_rate=wer,
        start_p50=0.1,
        start_p90=p90,
        start_max=1.0,
    )


def test_utterances_are_found_by_their_words_although_some_are_wrong() -> None:
    spoken = [Utterance(text="ten of clubs", start=1.0), Utterance(text="go forward", start=5.0)]

    rate, off = compare(
        spoken, [("10", 1.2, 1.5), ("of", 1.6, 1.8), ("cups.", 2, 3), ("Go", 4.9, 5), ("on", 6, 7)]
    )

    assert rate == pytest.approx(2 / 5)
    assert off == pytest.approx([0.2, 0.1])


def test_an_utterance_begins_where_its_sound_rises() -> None:
    sound = np.concatenate([np.full(8_000, 20), np.full(16_000, 9_000)]).astype(np.int16)

    assert onset(sound) == pytest.approx(0.5)
    assert words("In 1813, Mr!") == words("in eighteen thirteen mister")


def test_a_missed_target_is_named() -> None:
    lines = verdicts(
        [
            measured("ours", 20.0),
            measured("library", 20.0, wer=0.08),
            measured("ours", 60.0, p90=0.6, peak=200),
        ]
    )

    assert [line.split(":")[0] for line in lines] == ["- kept", "- MISSED", "- MISSED", "- MISSED"]
