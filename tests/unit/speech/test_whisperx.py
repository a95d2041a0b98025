"""WhisperX's models for alignment, without WhisperX: what happens where there is none to be had."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from speech.transcribers import whisperx
from speech.transcribers.choice import TranscriberSpec
from speech.transcribers.errors import TranscriptionFailed
from speech.transcribers.process import may_fetch
from speech.transcribers.whisper import WhisperSettings
from speech.transcribers.whisperx import WhisperX

pytestmark = pytest.mark.unit


class Hub:
    """Has no model, until it is told otherwise."""

    def __init__(self) -> None:
        self.reachable = False
        self.asked = 0
        self.timeouts: list[float | None] = []

    def load_align_model(self, language: str, _device: str, **_: object) -> tuple[str, str]:
        self.asked += 1
        self.timeouts.append(socket.getdefaulttimeout())
        if not self.reachable:
            raise OSError("Network is unreachable")
        return language, "metadata"

    def align(self, *_: object, **__: object) -> object:
        raise LookupError("Resource punkt_tab not found.")


def made(hub: Hub, **options: Any) -> Any:
    transcriber: Any = WhisperX(WhisperSettings("large-v3"), **options)
    transcriber.device = "cpu"
    transcriber._whisperx = hub
    return transcriber


def test_an_alignment_model_that_cannot_be_had_is_looked_for_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    hub = Hub()
    transcriber = made(hub)

    assert [transcriber._aligner("de") for _ in range(3)] == [None] * 3
    assert hub.asked == 1
    hub.reachable = True
    now += whisperx.LOOK_AGAIN_SECONDS
    assert [transcriber._aligner("de") for _ in range(3)] == [("de", "metadata")] * 3
    assert hub.asked == 2


def test_without_what_alignment_needs_besides_its_model_the_words_are_done_without() -> None:
    hub = Hub()
    hub.reachable = True
    result = {"segments": [{"text": "hello", "start": 0.0, "end": 1.0}]}

    assert made(hub)._aligned(result, "en", None, None) is result
    with pytest.raises(TranscriptionFailed):
        made(hub, alignment="always")._aligned(result, "en", None, None)


def test_a_network_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    hub = Hub()

    made(hub)._aligner("de")

    assert hub.timeouts == [whisperx.CONNECTION_SECONDS]
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [({}, False), ({"fetch_models": True}, True), ({"token": "hf_secret"}, True)],
)
@pytest.mark.parametrize("kind", ["whisperx", "auto"])
def test_models_are_fetched_only_where_that_is_meant(
    tmp_path: Path, kind: Any, settings: Any, *, allowed: bool
) -> None:
    assert may_fetch(TranscriberSpec(kind=kind, model=str(tmp_path), **settings)) is allowed
    assert may_fetch(TranscriberSpec(kind=kind, model="large-v3", **settings))
