"""Real transcribers on real files: Whisper with models of chosen weights, and the embedded one."""

from __future__ import annotations

import importlib.util
import wave
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream

from speech.engines import pocketsphinx_model
from speech.engines.embedded import choose_embedded
from speech.engines.names import EMBEDDED_LANGUAGES
from speech.transcribers.base import Transcriber, TranscriptionOptions
from speech.transcribers.choice import TranscriberSpec
from speech.transcribers.embedded import Embedded
from speech.transcribers.errors import (
    BadRecording,
    OptionUnavailable,
    Stopped,
    TranscriberUnavailable,
)
from speech.transcribers.faster_whisper import FasterWhisper
from speech.transcribers.process import TranscriberProcess
from speech.transcribers.whisper import WhisperSettings
from speech.transcribers.whisperx import WhisperX
from tests.support.recordings import flite, normalised, silence
from tests.support.whisper_models import LINES, whisper_model
from transcripts.documents import FailureCode

pytestmark = pytest.mark.integration

WORDS = " ".join(line.text for line in LINES).split()
SPEECH = "The quick brown fox jumps over the lazy dog, and then it runs away into the forest."


def nothing(_done: float) -> None:
    """Go on."""


def write(path: Path, pcm: bytes, *, container: str = "wav", codec: str = "pcm_s16le") -> Path:
    """Write 16 kHz, mono, s16le into a file of a format."""
    with av.open(str(path), "w", format=container) as output:
        rate = 48_000 if codec == "libopus" else 16_000
        stream = cast("AudioStream", output.add_stream(codec, rate=rate))
        stream.codec_context.layout = "mono"
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=stream.codec_context.rate
        )
        frame = av.AudioFrame.from_ndarray(
            np.frombuffer(pcm, np.int16).reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate = 16_000
        fifo = av.AudioFifo()
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            each.pts = None
            fifo.write(each)
        size = stream.codec_context.frame_size or 1024
        while (piece := fifo.read(size, partial=True)) is not None:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return path


def tone(seconds: float) -> bytes:
    times = np.arange(round(seconds * 16_000)) / 16_000
    return (8000 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whisper_model(tmp_path_factory.mktemp("whisper") / "scripted")


@pytest.fixture(scope="module")
def whisper(model: Path) -> FasterWhisper:
    made = FasterWhisper(WhisperSettings(str(model)))
    made.load()
    return made


@pytest.fixture(scope="module")
def embedded() -> Embedded:
    made = Embedded()
    made.load()
    return made


@pytest.fixture(params=["whisper", "embedded"])
def transcriber(request: pytest.FixtureRequest) -> Transcriber:
    made: Transcriber = request.getfixturevalue(request.param)
    return made


def test_whisper_transcribes_with_the_times_of_words(
    whisper: FasterWhisper, tmp_path: Path
) -> None:
    path = write(tmp_path / "speech", flite(SPEECH) * 2)

    found = whisper.transcribe(path, TranscriptionOptions(language="en-GB"), nothing)

    words = [word for segment in found.segments for word in segment.words]
    assert found.text.split()[: len(WORDS)] == WORDS
    assert [word.word for word in words][: len(WORDS)] == WORDS
    starts = [word.start_time for word in words]
    assert starts == sorted(starts)
    assert all(word.start_time <= word.end_time <= found.duration for word in words)
    assert found.duration == pytest.approx(len(flite(SPEECH)) * 2 / 32_000, abs=0.001)
    assert (found.language, found.engine) == ("en-GB", "faster-whisper scripted")


def test_the_embedded_engine_transcribes(embedded: Embedded, tmp_path: Path) -> None:
    path = write(tmp_path / "speech", flite("go forward ten meters"))

    found = embedded.transcribe(path, TranscriptionOptions(), nothing)

    assert "forward" in found.text
    assert found.language == "en-US"
    words = [word.word for segment in found.segments for word in segment.words]
    assert normalised(" ".join(words)) == normalised(found.text)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp3", "libmp3lame"), ("webm", "libopus"), ("ogg", "libopus"), ("flac", "flac"),
     ("ipod", "aac"), ("wav", "pcm_mulaw")],
)  # fmt: skip
def test_any_format_is_read_whatever_the_file_is_called(
    whisper: FasterWhisper, tmp_path: Path, container: str, codec: str
) -> None:
    path = write(tmp_path / "it.txt", flite(SPEECH), container=container, codec=codec)

    found = whisper.transcribe(path, TranscriptionOptions(), nothing)

    assert found.duration == pytest.approx(len(flite(SPEECH)) / 32_000, abs=0.15)
    assert found.text.split()[:3] == WORDS[:3]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", FailureCode.EMPTY),
        (b"Dear Sir or Madam, " * 500, FailureCode.NOT_AUDIO),
        (b"\x89PNG\r\n\x1a\n" + bytes(5000), FailureCode.NOT_AUDIO),
        (b"RIFF" + bytes(5000), FailureCode.NOT_AUDIO),
    ],
)
def test_what_is_no_recording_is_named(
    transcriber: Transcriber, tmp_path: Path, content: bytes, code: FailureCode
) -> None:
    path = tmp_path / "it.wav"
    path.write_bytes(content)

    with pytest.raises(BadRecording) as caught:
        transcriber.transcribe(path, TranscriptionOptions(), nothing)

    assert caught.value.code is code


def test_a_file_without_a_single_sample_is_empty(transcriber: Transcriber, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "it"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))

    with pytest.raises(BadRecording) as caught:
        transcriber.transcribe(tmp_path / "it", TranscriptionOptions(), nothing)

    assert caught.value.code is FailureCode.EMPTY


def test_damaged_audio_is_corrupt(transcriber: Transcriber, tmp_path: Path) -> None:
    path = write(tmp_path / "it", flite(SPEECH) * 2, container="ipod", codec="aac")
    damaged = bytearray(path.read_bytes())
    half = len(damaged) // 2
    damaged[half : half + 8_192] = bytes(range(256)) * 32
    path.write_bytes(damaged)

    with pytest.raises(BadRecording, match="seconds the audio cannot be decoded") as caught:
        transcriber.transcribe(path, TranscriptionOptions(), nothing)

    assert caught.value.code is FailureCode.CORRUPT_AUDIO


@pytest.mark.parametrize("sound", [bytes(16_000 * 2 * 10), tone(10.0)], ids=["silence", "tone"])
def test_without_speech_there_are_no_words(
    transcriber: Transcriber, tmp_path: Path, sound: bytes
) -> None:
    found = transcriber.transcribe(write(tmp_path / "it", sound), TranscriptionOptions(), nothing)

    assert found.segments == ()
    assert found.duration == pytest.approx(10.0)
    assert found.language in ("und", "en-US")


def test_an_hour_is_read_and_its_end_is_found(whisper: FasterWhisper, tmp_path: Path) -> None:
    hour = bytearray(3600 * 32_000)
    speech = flite(SPEECH)
    hour[3590 * 32_000 : 3590 * 32_000 + len(speech)] = speech
    path = write(tmp_path / "hour", bytes(hour), container="flac", codec="flac")

    found = whisper.transcribe(path, TranscriptionOptions(), nothing)

    assert found.duration == pytest.approx(3600.0, abs=1)
    assert found.text.split()[:3] == WORDS[:3]
    assert found.segments[0].start_time > 3580


def test_a_recording_that_is_too_long_is_refused(transcriber: Transcriber, tmp_path: Path) -> None:
    path = write(tmp_path / "it", tone(5.0))

    with pytest.raises(BadRecording) as caught:
        transcriber.transcribe(path, TranscriptionOptions(max_seconds=4.0), nothing)

    assert caught.value.code is FailureCode.TOO_LONG


def test_the_embedded_engine_labels_a_transcript_with_the_variant_of_english(
    embedded: Embedded, tmp_path: Path
) -> None:
    path = write(tmp_path / "speech", flite("go forward ten meters"))

    for language in sorted(EMBEDDED_LANGUAGES[choose_embedded()]):
        found = embedded.transcribe(path, TranscriptionOptions(language=language), nothing)
        assert (found.language, "forward" in found.text) == (language, True)


def test_an_unknown_language_is_refused(transcriber: Transcriber, tmp_path: Path) -> None:
    path = write(tmp_path / "it", tone(1.0))

    with pytest.raises(BadRecording) as caught:
        transcriber.transcribe(path, TranscriptionOptions(language="tlh"), nothing)
    with pytest.raises(OptionUnavailable):
        transcriber.transcribe(path, TranscriptionOptions(diarize=True), nothing)

    assert caught.value.code is FailureCode.UNSUPPORTED_LANGUAGE


def test_a_job_can_be_stopped(transcriber: Transcriber, tmp_path: Path) -> None:
    def stop(_done: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        transcriber.transcribe(write(tmp_path / "it", flite(SPEECH)), TranscriptionOptions(), stop)


def test_after_a_job_that_raised_it_still_computes(
    transcriber: Transcriber, tmp_path: Path
) -> None:
    path = write(tmp_path / "it", flite(SPEECH))
    before = transcriber.transcribe(path, TranscriptionOptions(), nothing)

    def raises(done: float) -> None:
        if done > 1.0:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        transcriber.transcribe(path, TranscriptionOptions(), raises)
    transcriber.check()

    assert transcriber.transcribe(path, TranscriptionOptions(), nothing) == before


def test_an_embedded_engine_that_can_do_no_more_fails_its_check() -> None:
    made = pocketsphinx_model.load()
    made.decoder.start_utt()  # and nobody ends it

    with pytest.raises(RuntimeError):
        made.check()


@pytest.mark.parametrize("missing", ["model.bin", "tokenizer.json"])
def test_a_model_without_a_file_is_refused_at_once(tmp_path: Path, missing: str) -> None:
    folder = whisper_model(tmp_path / "model")
    (folder / missing).unlink()

    with pytest.raises(TranscriberUnavailable, match=missing):
        FasterWhisper(WhisperSettings(str(folder))).load()


async def test_it_runs_the_same_in_its_process(model: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "speech", flite(SPEECH))
    process = TranscriberProcess(TranscriberSpec(model=str(model), device="cpu"))
    try:
        loaded = await process.start()
        found = await process.transcribe(path, TranscriptionOptions())
    finally:
        await process.stop()

    assert (loaded.engine, loaded.device) == ("faster-whisper scripted", "cpu")
    assert found.text.split()[:3] == WORDS[:3]


class WithoutAligners:
    """WhisperX without any model for alignment; its own decoding is not to be used."""

    def __init__(self, model: Path) -> None:
        from faster_whisper import WhisperModel  # noqa: PLC0415 - seconds

        self.model = WhisperModel(str(model), device="cpu", compute_type="int8")

    def load_align_model(self, *_: object, **__: object) -> object:
        raise ValueError("No default align-model for language: en")

    def detect_language(self, _audio: object) -> str:
        return "en"


@pytest.mark.parametrize("alignment", ["auto", "never"])
@pytest.mark.parametrize("language", [None, "en-GB"])
def test_whisperx_has_word_times_without_a_model_for_alignment(
    model: Path, tmp_path: Path, alignment: Any, language: str | None
) -> None:
    made: Any = WhisperX(WhisperSettings(str(model), device="cpu"), alignment=alignment)
    made._whisperx = made._pipeline = WithoutAligners(model)
    path = write(tmp_path / "speech", silence(3.0) + flite(SPEECH) * 2)

    found = made.transcribe(path, TranscriptionOptions(language=language), nothing)

    words = [word for segment in found.segments for word in segment.words]
    assert [word.word for word in words][: len(WORDS)] == WORDS
    assert 2.9 < words[0].start_time < 3.5
    assert (found.language, found.engine) == (language or "en", "whisperx scripted")


needs_whisperx = pytest.mark.skipif(
    importlib.util.find_spec("whisperx") is None,
    reason="WhisperX is not installed; it has a job of its own, see docs/gpu-server.md",
)


@needs_whisperx
def test_whisperx_transcribes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(whisper_model(tmp_path / "scripted", timestamps=False))
    made = WhisperX(WhisperSettings(model, device="cpu", language="en"))
    made._aligners["en"] = (None, None)  # none can be fetched by a test
    monkeypatch.setattr("whisperx.align", lambda segments, *_, **__: {"segments": segments})
    made.load()
    path = write(tmp_path / "speech", flite(SPEECH))

    found = made.transcribe(path, TranscriptionOptions(), nothing)

    assert found.text.split()[: len(WORDS)] == WORDS
    assert found.duration == pytest.approx(len(flite(SPEECH)) / 32_000, abs=0.01)
    with pytest.raises(OptionUnavailable, match="HF_TOKEN"):
        made.transcribe(path, TranscriptionOptions(diarize=True), nothing)


@needs_whisperx
@pytest.mark.parametrize("alignment", ["auto", "never"])
def test_whisperx_itself_has_word_times_without_a_model_for_alignment(
    model: Path, tmp_path: Path, alignment: Any
) -> None:
    made = WhisperX(WhisperSettings(str(model), device="cpu"), alignment=alignment)
    made.load()
    made._no_aligners["en"] = float("inf")
    path = write(tmp_path / "speech", silence(3.0) + flite(SPEECH) * 2)

    found = made.transcribe(path, TranscriptionOptions(), nothing)

    words = [word for segment in found.segments for word in segment.words]
    assert [word.word for word in words][: len(WORDS)] == WORDS
    assert 2.9 < words[0].start_time < 3.5
