"""Whisper, piece after piece, with a model that records where it was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from speech.transcribers import sequential
from speech.transcribers.errors import Stopped
from speech.transcribers.pieces import FRAME, Samples
from speech.transcribers.sequential import Recognised, recognise

pytestmark = pytest.mark.unit

RATE = 16_000


@dataclass
class Recognition:
    start: float
    end: float
    word: str = ""
    text: str = ""
    probability: float = 0.5
    words: list[Recognition] = field(default_factory=list)


@dataclass
class About:
    language: str


class Model:
    """Recognises `hello` .4 s after the beginning of what it is given, in German."""

    def __init__(self) -> None:
        self.languages: list[str | None] = []

    def transcribe(self, _samples: Samples, *, language: str | None, **_: object) -> Any:
        self.languages.append(language)
        word = Recognition(0.4, 0.8, word=" hello")
        return iter([Recognition(0.0, 0.9, text=" hello", words=[word])]), About(language or "de")


def judge(samples: Samples) -> Any:
    return (np.abs(samples).reshape(-1, FRAME).max(axis=1) > 0.1).astype(np.float32)


@pytest.fixture(autouse=True)
def _loud_is_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "_judge", judge)


def spoken(*at: float, length: float) -> list[bytes]:
    """Return a recording with a second of speech at each time, in parts of 30 seconds."""
    audio = np.zeros(round(length * RATE), "<i2")
    for each in at:
        audio[round(each * RATE) : round((each + 1) * RATE)] = 9_000
    pcm = audio.tobytes()
    return [pcm[first : first + 60 * RATE] for first in range(0, len(pcm), 60 * RATE)]


def found(model: Model, pcm: list[bytes], progress: Any, **options: Any) -> Recognised:
    settings: dict[str, Any] = {"language": None} | options
    return recognise(model, pcm, progress=progress, **settings)


def test_times_are_those_of_the_recording_and_the_language_that_of_its_first_words() -> None:
    model = Model()
    reports: list[float] = []

    result = found(model, spoken(400.0, 1000.0, length=1200.0), reports.append)

    starts = [segment.start_time for segment in result.segments]
    assert starts == pytest.approx([400.0, 1000.0], abs=0.04)
    assert [segment.words[0].start_time for segment in result.segments] == starts
    assert model.languages == [None, "de"]  # pieces without speech cost nothing
    assert (result.language, result.duration) == ("de", 1200.0)
    assert reports == sorted(reports)
    assert reports[-1] > 1000.0


def test_a_language_that_was_asked_for_is_kept() -> None:
    model = Model()

    assert found(model, spoken(1.0, 400.0, length=500.0), float, language="fr").language == "fr"
    assert model.languages == ["fr", "fr"]


def test_in_silence_there_is_nothing() -> None:
    model = Model()

    result = found(model, spoken(length=700.0), float)

    assert result == Recognised(segments=(), language=None, duration=700.0)
    assert model.languages == []


def test_it_can_be_stopped_between_two_stretches() -> None:
    def stop_after_400(done: float) -> None:
        if done > 400.0:
            raise Stopped

    model = Model()

    with pytest.raises(Stopped):
        found(model, spoken(100.0, 500.0, 900.0, length=1000.0), stop_after_400)
    assert len(model.languages) < 3
