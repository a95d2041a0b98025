from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from speech.decode import CorruptAudio, DecodeError, NotAudio, decode, probe
from tests.support.audio_files import HERTZ, audio_file, tone

pytestmark = pytest.mark.unit

#: name: container, codec, sample rate, sample format, seconds by which a lossy codec pads
FORMATS = {
    "wav": ("wav", "pcm_s16le", 16_000, "s16", 0.0),
    "wav-telephone": ("wav", "pcm_mulaw", 8_000, "s16", 0.0),
    "flac": ("flac", "flac", 44_100, "s16", 0.0),
    "mp3": ("mp3", "libmp3lame", 44_100, "s16p", 0.1),
    "ogg": ("ogg", "libopus", 48_000, "s16", 0.1),
    "webm": ("webm", "libopus", 48_000, "s16", 0.1),
    "m4a": ("ipod", "aac", 44_100, "fltp", 0.1),
}


def recording(name: str, seconds: float = 1.0, channels: int = 1) -> bytes:
    """Return a file of the format `name` that holds a tone."""
    container_format, codec, rate, sample_format, _ = FORMATS[name]
    return audio_file(
        tone(seconds, rate, channels),
        container_format,
        codec,
        rate=rate,
        sample_format=sample_format,
        channels=channels,
    )


def pitch(pcm: bytes, rate: int) -> float:
    samples = np.frombuffer(pcm, dtype="<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_comes_out_as_engines_want_it(name: str, channels: int) -> None:
    pcm = b"".join(decode(io.BytesIO(recording(name, channels=channels))))

    assert len(pcm) / 32_000 == pytest.approx(1.0, abs=FORMATS[name][4] + 1e-3)
    assert pitch(pcm, 16_000) == pytest.approx(HERTZ, abs=3)
    assert np.abs(np.frombuffer(pcm, dtype="<i2")).max() == pytest.approx(8_000, rel=0.15)


@pytest.mark.parametrize("name", FORMATS)
def test_probe_describes_the_file(name: str) -> None:
    _, codec, rate, _, slack = FORMATS[name]

    info = probe(io.BytesIO(recording(name, channels=2)))

    assert (info.sample_rate, info.channels) == (rate, 2)
    assert info.codec == {"libmp3lame": "mp3float", "libopus": "opus"}.get(codec, codec)
    assert info.duration == pytest.approx(1.0, abs=slack + 1e-3)


def test_pieces_have_the_length_asked_for_and_the_last_one_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "tone.flac"
    path.write_bytes(recording("flac", seconds=0.25))

    pieces = list(decode(path, sample_rate=44_100, channels=2, chunk_seconds=0.1))

    assert [len(piece) // 4 for piece in pieces] == [4_410, 4_410, 2_205]


def test_a_long_file_is_decoded_in_bounded_memory() -> None:
    source = io.BytesIO(recording("flac", seconds=120.0))

    tracemalloc.start()
    try:
        decoded = sum(len(piece) for piece in decode(source))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert decoded == 120 * 32_000
    assert peak < 500_000


def test_recordings_joined_end_to_end_play_through_a_change_of_format() -> None:
    joined = recording("mp3") + recording("mp3", channels=2)

    pcm = b"".join(decode(io.BytesIO(joined)))

    assert len(pcm) / 32_000 == pytest.approx(2.0, abs=0.2)
    assert pitch(pcm[-16_000:], 16_000) == pytest.approx(HERTZ, abs=3)


def test_damage_is_reported_after_the_audio_before_it() -> None:
    damaged = bytearray(recording("m4a", seconds=4.0))
    half = len(damaged) // 2
    damaged[half : half + 8_192] = bytes(range(256)) * 32

    good = 0

    def read() -> None:
        nonlocal good
        for piece in decode(io.BytesIO(damaged)):
            good += len(piece)

    with pytest.raises(CorruptAudio):
        read()
    assert good > 32_000


@pytest.mark.parametrize("rate", [1, 999])
def test_a_small_file_that_claims_to_last_for_hours_is_not_blown_up(rate: int) -> None:
    file = io.BytesIO()
    with av.open(file, mode="w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 65_535), "<i2"), format="s16", layout="mono"
        )
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    with pytest.raises(CorruptAudio):
        next(decode(io.BytesIO(file.getvalue())))


@pytest.mark.parametrize("content", [b"", b"Dear diary, " * 400, bytes(4_096)])
def test_what_is_no_audio_is_refused(content: bytes) -> None:
    with pytest.raises(NotAudio):
        next(decode(io.BytesIO(content)))
    with pytest.raises(NotAudio):
        probe(io.BytesIO(content))


def test_a_playlist_does_not_open_other_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret.ts"
    secret.write_bytes(recording("wav"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"

    with pytest.raises(DecodeError):
        list(decode(io.BytesIO(playlist.encode())))


def test_a_missing_file_is_an_ordinary_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(decode(tmp_path / "none.wav"))
