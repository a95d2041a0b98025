"""WhisperX's models for alignment, without WhisperX: what happens where there is none to be had."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from speech.transcribers import whisperx
from speech.transcribers.choice import TranscriberSpec, may_fetch
from speech.transcribers.errors import BadRecording, TranscriptionFailed
from speech.transcribers.whisper import WhisperSettings
from speech.transcribers.whisperx import WhisperX

pytestmark = pytest.mark.unit


class Hub:
    """Has no model, until a test sets one."""

    def __init__(self) -> None:
        self.reachable = False
        self.asked = 0
        self.timeouts: list[float | None] = []
        self.error: Exception = OSError("Network is unreachable")
        self.aligned: Any = None
        self.texts: list[str] = []

    def load_align_model(self, language: str, _device: str, **_: object) -> tuple[str, str]:
        self.asked += 1
        self.timeouts.append(socket.getdefaulttimeout())
        if not self.reachable:
            raise self.error
        return language, "metadata"

    def align(self, segments: list[Any], *_: object, **__: object) -> object:
        if self.aligned is None:
            raise LookupError("Resource punkt_tab not found.")
        self.texts += [each["text"] for each in segments]
        return self.aligned


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
    now += whisperx.RETRY_SECONDS
    assert [transcriber._aligner("de") for _ in range(3)] == [("de", "metadata")] * 3
    assert hub.asked == 2


def test_without_what_alignment_needs_besides_its_model_the_words_are_done_without() -> None:
    hub = Hub()
    hub.reachable = True
    result = {"segments": [{"text": "hello", "start": 0.0, "end": 1.0}]}

    assert made(hub)._aligned(result, "en", None, None) is None
    with pytest.raises(TranscriptionFailed, match="ALIGNMENT is always"):
        made(hub, alignment="always")._aligned(result, "en", None, None)


@pytest.mark.parametrize(
    ("error", "may_fetch", "raised"),
    [
        (OSError("not in the cache"), False, BadRecording),
        (ValueError("The chosen align_model could not be found"), False, BadRecording),
        (ValueError("No default align-model for language: yo"), True, BadRecording),
        (OSError("Network is unreachable"), True, TranscriptionFailed),
        (
            RuntimeError("CUDA failed with error an illegal memory access"),
            False,
            TranscriptionFailed,
        ),
        (RuntimeError("CUDA failed with error out of memory"), False, RuntimeError),
    ],
)
def test_where_words_have_to_be_aligned_only_what_may_change_is_tried_again(
    error: Exception, raised: type[Exception], *, may_fetch: bool
) -> None:
    hub = Hub()
    hub.error = error

    with pytest.raises(raised) as caught:
        made(hub, alignment="always", may_fetch=may_fetch)._aligner("yo")

    assert raised is RuntimeError or "ALIGNMENT is always" in str(caught.value)


def test_a_lack_of_memory_is_not_taken_for_a_missing_model() -> None:
    hub = Hub()
    hub.error = RuntimeError("CUDA failed with error out of memory")

    with pytest.raises(RuntimeError):
        made(hub)._aligner("de")


class Pipeline:
    """WhisperX's, whose model finds its memory too small for more than two stretches."""

    def __init__(self) -> None:
        self.model = self
        self.batches: list[int] = []
        self.asked: int | None = None

    def generate_segment_batched(self, features: Any, *_: object, **__: object) -> Any:
        self.batches.append(len(features))
        if len(features) > 2:
            raise RuntimeError("CUDA failed with error out of memory")
        return {"text": list(features)}

    def transcribe(self, stretches: list[str], *, batch_size: int, **_: object) -> Any:
        self.asked = batch_size
        texts = [
            text
            for at in range(0, len(stretches), batch_size)
            for text in self.generate_segment_batched(stretches[at : at + batch_size], None)["text"]
        ]
        return {"segments": [{"text": text} for text in texts], "language": "en"}


def test_a_recording_that_is_too_much_for_the_gpu_goes_on_in_smaller_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(whisperx, "_free_memory", lambda: 11 * 10**9)
    monkeypatch.setattr(whisperx, "_release", lambda: None)
    pipeline = Pipeline()
    hub = Hub()
    hub.reachable = True
    hub.aligned = {"segments": ["aligned"]}
    transcriber = made(hub)
    transcriber.device = "cuda"
    transcriber._pipeline = pipeline
    transcriber._set_batches(1280)

    first = transcriber._in_batches(list("abcdefghij"), "en", lambda *_: None)
    transcriber._in_batches(["k"], "en", lambda *_: None)

    assert first == {"segments": ["aligned"], "language": "en"}
    assert hub.texts[:10] == list("abcdefghij")
    assert pipeline.batches == [8, 4, 2, 2, 2, 2, 2, 1]
    assert pipeline.asked == 2


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
