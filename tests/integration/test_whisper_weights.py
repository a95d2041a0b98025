"""faster-whisper on real weights and real recordings, where both are there.

WHISPER_MODEL names a folder with a model in CTranslate2's format; tiny.en is enough.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from benchmarks.figures import quantile
from benchmarks.recognition import WORDLESS
from benchmarks.whisper import START_P90, WER_ABOVE, compare, write_long
from benchmarks.whisper_alone import library, ours
from speech.transcribers import sequential
from speech.transcribers.pieces import cut_pieces
from tests.support.recordings import recordings, silence, wav

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model() -> str:
    folder = os.environ.get("WHISPER_MODEL")
    if not folder:
        pytest.skip("no real model is given; WHISPER_MODEL names its folder")
    return folder


def test_in_pieces_it_finds_the_words_of_the_whole_and_utterances_begin_in_time(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pieces of half a minute: as many cuts in four minutes as else in 40.
    monkeypatch.setattr(sequential, "cut_pieces", partial(cut_pieces, longest=30 * 16_000))
    path = tmp_path / "long.wav"
    spoken, _ = write_long(path, [each for each in recordings() if each.text], 180)

    rate, off = compare(spoken, ours(model, str(path)))
    whole, _ = compare(spoken, library(model, str(path)))

    assert rate <= whole + WER_ABOVE
    assert quantile(off, 0.9) < START_P90
    assert len(off) > 0.9 * len(spoken)


@pytest.mark.parametrize("name", [None, *WORDLESS])
def test_without_speech_there_are_no_words(model: str, tmp_path: Path, name: str | None) -> None:
    paths = {each.path.name: each.path for each in recordings()}
    path = paths[name] if name else wav(tmp_path / "silence.wav", silence(60.0))

    assert ours(model, str(path)) == []
