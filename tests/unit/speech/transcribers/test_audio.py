"""A recording's audio as transcribers get it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from speech.decode import AudioInfo
from speech.transcribers.audio import Audio
from speech.transcribers.errors import BadRecording
from tests.support.audio_files import audio_file, tone
from transcripts.documents import AudioTrack, FailureCode

pytestmark = pytest.mark.unit


def recorded(folder: Path, seconds: float) -> Path:
    path = folder / "tone.wav"
    path.write_bytes(audio_file(tone(seconds, 16_000), "wav", "pcm_s16le", rate=16_000))
    return path


def test_what_is_too_long_is_refused_before_any_of_it_is_recognised(tmp_path: Path) -> None:
    pieces = Audio(recorded(tmp_path, 3.0), max_seconds=2.0).pieces()

    with pytest.raises(BadRecording) as refused:
        next(pieces)

    assert refused.value.code is FailureCode.TOO_LONG


def test_a_header_that_announces_too_much_is_not_believed(tmp_path: Path) -> None:
    path = recorded(tmp_path, 1.0)
    file = bytearray(path.read_bytes())
    at = file.index(b"data") + 4
    file[at : at + 4] = struct.pack("<I", 2**31 - 64)
    path.write_bytes(file)
    audio = Audio(path, max_seconds=2.0)

    assert sum(map(len, audio.pieces())) == 32_000
    assert audio.track == AudioTrack(number=1, count=1)


def test_a_header_without_a_length_is_no_way_past_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_path: Path) -> AudioInfo:
        return AudioInfo(duration=None, sample_rate=16_000, channels=1, codec="opus")

    monkeypatch.setattr("speech.decode.probe", silent)
    pieces = Audio(recorded(tmp_path, 3.0), max_seconds=2.0).pieces()

    with pytest.raises(BadRecording) as refused:
        next(pieces)

    assert refused.value.code is FailureCode.TOO_LONG
    assert sum(map(len, Audio(recorded(tmp_path, 1.0), max_seconds=2.0).pieces())) == 32_000


def test_what_is_checked_ahead_is_read_from_its_start_again(tmp_path: Path) -> None:
    audio = Audio(recorded(tmp_path, 1.0), max_seconds=2.0)
    reports: list[float] = []

    audio.check(reports.append)

    assert reports == [0.0]
    assert sum(map(len, audio.pieces())) == 32_000


def test_what_was_read_once_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = Audio(recorded(tmp_path, 1.0), max_seconds=2.0)
    audio.samples(lambda _done: None)

    monkeypatch.setattr("speech.decode.probe", None)

    assert sum(map(len, audio.pieces())) == 32_000
