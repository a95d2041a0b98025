"""Files as people have them: odd tags, many channels and tracks, gaps, joined or half written."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from speech.decode import CorruptAudio, NotAudio, decode, probe
from speech.decoding import tracks
from tests.support.audio_files import audio_file
from transcripts.documents import AudioTrack

pytestmark = pytest.mark.unit

RATE = 16_000


def tone(seconds: float, rate: int = RATE, gain: float = 8_000.0) -> npt.NDArray[np.int16]:
    return (gain * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)).astype("<i2")


def wav(
    samples: npt.NDArray[np.int16],
    *,
    rate: int = RATE,
    announced: int | None = None,
    tag: bytes = b"",
) -> bytes:
    """Return a WAV file; `samples` has the shape (frames,) or (frames, channels)."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    audio = samples.tobytes()
    fmt = struct.pack(
        "<HHIIHH", 1, channels, rate, (rate * channels * 2) & 0xFFFFFFFF, channels * 2, 16
    )
    chunks = b"".join(
        [
            struct.pack("<4sI", b"fmt ", len(fmt)) + fmt,
            tag,
            struct.pack("<4sI", b"data", len(audio) if announced is None else announced) + audio,
        ]
    )
    return struct.pack("<4sI4s", b"RIFF", len(chunks) + 4, b"WAVE") + chunks


@dataclass(frozen=True)
class Written:
    """An audio track to be written: silence but for tones from a second to another one."""

    tones: tuple[tuple[float, float], ...]
    codec: str = "libopus"
    default: bool = False
    gain: float = 8_000.0


def container(kind: str, *tracks: Written, holes: bool = True) -> bytes:
    """Return a file with tracks; between the tones are holes, or silence."""
    file = io.BytesIO()
    with av.open(file, mode="w", format=kind) as output:
        streams: list[Any] = [output.add_stream(each.codec, rate=48_000) for each in tracks]
        for stream, each in zip(streams, tracks, strict=True):
            stream.disposition = 1 if each.default else 0
        packets: list[Any] = []
        for stream, each in zip(streams, tracks, strict=True):
            size = 960
            for first, last in each.tones if holes else [(0.0, 3.0)]:
                for start in range(round(first * 48_000), round(last * 48_000), size):
                    loud = any(a <= start / 48_000 < b for a, b in each.tones)
                    wave = tone(size / 48_000, 48_000, each.gain if loud else 0.0)
                    frame = av.AudioFrame.from_ndarray(wave[np.newaxis], "s16", "mono")
                    frame.sample_rate, frame.pts = 48_000, start
                    frame.time_base = Fraction(1, 48_000)
                    packets += stream.encode(frame)
            packets += stream.encode(None)
        output.mux(sorted(packets, key=moment))
    return file.getvalue()


def moment(packet: Any) -> Fraction:
    time: Fraction = packet.pts * packet.time_base
    return time


def decoded(file: bytes) -> npt.NDArray[np.int16]:
    return np.frombuffer(b"".join(decode(io.BytesIO(file))), "<i2")


def stretches(file: bytes) -> list[tuple[float, float]]:
    """Return from when to when there is sound in a file as it is decoded, seconds."""
    samples = decoded(file)
    usable = samples[: len(samples) // 800 * 800].reshape(-1, 800)
    loud = np.abs(usable.astype(int)).max(axis=1) > 1_000
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(int)))
    return [(round(a * 0.05, 2), round(b * 0.05, 2)) for a, b in edges.reshape(-1, 2)]


@pytest.mark.parametrize("text", ["Müller".encode("cp1252"), b"\xff\xfe\x00\xd8", b"\xc3"])
def test_the_text_of_a_tag_is_ignored(text: bytes) -> None:
    info = b"INFOIART" + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    tag = struct.pack("<4sI", b"LIST", len(info)) + info

    file = wav(tone(1.0), tag=tag)

    assert len(decoded(file)) == RATE
    assert probe(io.BytesIO(file)).duration == pytest.approx(1.0)


@pytest.mark.parametrize("channels", [3, 5, 6, 8, 10, 16, 17, 20, 24, 32, 60])
def test_a_voice_on_any_channel_is_audible(channels: int) -> None:
    for speaking in {0, 2, channels // 2, channels - 1}:
        samples = np.zeros((RATE // 4, channels), "<i2")
        samples[:, speaking] = tone(0.25)

        assert np.abs(decoded(wav(samples))).max() > 1_900


@pytest.mark.parametrize(("codec", "kind"), [("aac", "ipod"), ("libopus", "ogg")])
def test_eight_channels_in_planes_of_their_own_are_read(codec: str, kind: str) -> None:
    file = io.BytesIO()
    with av.open(file, mode="w", format=kind) as output:
        stream: Any = output.add_stream(codec, rate=48_000, layout="7.1")
        wave = np.repeat(tone(1.0, 48_000), 8).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(wave, "s16", "7.1")
        frame.sample_rate = 48_000
        size = stream.codec_context.frame_size
        resampler = av.AudioResampler("fltp" if codec == "aac" else "s16", "7.1", 48_000, size)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))

    assert len(decoded(file.getvalue())) == pytest.approx(RATE, abs=1_600)


def test_opposite_phases_are_audible() -> None:
    assert np.abs(decoded(wav(np.stack([tone(1.0), -tone(1.0)], axis=1)))).max() > 7_000


@pytest.mark.parametrize("rate", [2**31 - 1, 1_600_000, 0])
def test_a_rate_that_no_sound_has_is_a_verdict(rate: int) -> None:
    with pytest.raises((CorruptAudio, NotAudio)):
        decoded(wav(tone(1.0), rate=rate))


def test_floats_that_are_no_numbers_are_silence() -> None:
    samples = np.full(RATE, np.nan, "<f4")
    samples[100], samples[200], samples[300] = np.inf, 1e30, 0.5
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, RATE, RATE * 4, 4, 32)
    data = struct.pack("<4sI", b"data", samples.nbytes) + samples.tobytes()
    file = struct.pack("<4sI4s", b"RIFF", len(fmt + data) + 4, b"WAVE") + fmt + data

    assert decoded(file)[[0, 100, 200, 300]].tolist() == [0, 0, 32_767, 16_384]


@pytest.mark.parametrize("kind", ["matroska", "mp4", "mpegts"])
def test_a_track_that_begins_later_has_its_words_later(kind: str) -> None:
    codec = "mp2" if kind == "mpegts" else "aac"
    picture = Written(((0.0, 4.0),), codec, gain=0.0)

    file = container(kind, picture, Written(((2.0, 4.0),), codec))

    [(first, last)] = stretches(file)
    assert [first, last] == pytest.approx([2.0, 4.0], abs=0.1)


@pytest.mark.parametrize("kind", ["webm", "matroska", "mp4", "ogg"])
def test_a_hole_is_silence(kind: str) -> None:
    file = container(kind, Written(((0.0, 1.0), (7.0, 8.0))))

    (first, last), (again, end) = stretches(file)

    assert [first, last, again, end] == pytest.approx([0.0, 1.0, 7.0, 8.0], abs=0.1)


def test_a_silent_track_gives_way_to_one_with_sound() -> None:
    silent, spoken = Written((), default=True), Written(((1.0, 2.0),))
    pieces = decode(io.BytesIO(container("matroska", silent, spoken, holes=False)))

    samples = np.frombuffer(b"".join(pieces), "<i2")

    assert np.abs(samples).max() > 4_000
    assert pieces.track == AudioTrack(number=2, count=2)


def test_a_search_for_sound_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, spoken = Written((), default=True), Written(((9.0, 10.0),))
    file = container("matroska", silent, spoken, holes=False)

    monkeypatch.setattr(tracks, "LONGEST_INSPECTION", 5.0)  # of both tracks together
    pieces = decode(io.BytesIO(file))
    next(pieces)

    assert pieces.track == AudioTrack(number=1, count=2)


def test_the_default_track_is_taken_and_named() -> None:
    pieces = decode(
        io.BytesIO(
            container(
                "matroska",
                Written(((0.0, 1.0),)),
                Written(((2.0, 3.0),), default=True),
                holes=False,
            )
        )
    )

    samples = np.frombuffer(b"".join(pieces), "<i2")

    assert np.abs(samples[: 2 * RATE - 800]).max() < 500
    assert pieces.track == AudioTrack(number=2, count=2)


def test_joined_files_are_read_one_after_the_other() -> None:
    one = wav(tone(1.0))

    assert len(decoded(one + one + one)) == 3 * RATE
    assert probe(io.BytesIO(one + one)).duration == pytest.approx(2.0)


def test_joined_files_may_differ() -> None:
    joined = wav(tone(1.0)) + wav(np.stack([tone(1.0, 48_000)] * 2, axis=1), rate=48_000)

    assert len(decoded(joined)) == 2 * RATE


@pytest.mark.parametrize("announced", [0, RATE, 0xFFFFFFFF])
def test_a_header_that_was_never_brought_up_to_date_loses_nothing(announced: int) -> None:
    assert len(decoded(wav(tone(3.0), announced=announced))) == 3 * RATE


def test_what_follows_a_stale_header_of_another_format_is_not_lost_silently() -> None:
    audio = tone(2.0).astype(">i2").tobytes()
    common = struct.pack(">4sIhIh", b"COMM", 18, 1, RATE, 16) + bytes.fromhex(
        "400cfa00000000000000"
    )
    sound = struct.pack(">4sIII", b"SSND", 8 + len(audio) // 2, 0, 0) + audio
    file = struct.pack(">4sI4s", b"FORM", len(common + sound) + 4, b"AIFF") + common + sound

    got = 0
    with pytest.raises(CorruptAudio):
        for piece in decode(io.BytesIO(file)):
            got += len(piece)

    assert got == 2 * RATE


@pytest.mark.parametrize(("kind", "codec"), [("flac", "flac"), ("matroska", "libopus")])
def test_a_truncated_file_reports_how_much_is_missing(kind: str, codec: str) -> None:
    pcm = tone(4.0, 48_000).tobytes()
    file = audio_file(pcm, kind, codec, rate=48_000)

    whole, half = decode(io.BytesIO(file)), decode(io.BytesIO(file[: len(file) // 2]))
    lengths = [sum(map(len, each)) / 32_000 for each in (whole, half)]

    assert whole.missing == 0.0
    assert lengths[1] + half.missing == pytest.approx(lengths[0], abs=0.1)


def test_sound_that_ends_before_the_picture_is_not_missing() -> None:
    picture, short = Written(((0.0, 6.0),), gain=0.0), Written(((0.0, 2.0),))
    pieces = decode(io.BytesIO(container("matroska", picture, short)))

    assert sum(map(len, pieces)) / 32_000 == pytest.approx(2.0, abs=0.1)
    assert pieces.missing == 0.0


def test_few_bytes_do_not_last_for_days() -> None:
    moments = tuple((at, at + 0.04) for at in range(0, 20_000, 3_000))

    with pytest.raises(CorruptAudio, match="impossible for its size"):
        for _ in decode(io.BytesIO(container("webm", Written(moments))), chunk_seconds=60.0):
            pass


def test_an_error_of_the_disk_is_no_verdict_on_the_file() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 60_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output error") as raised:
        list(decode(Failing(wav(tone(10.0)))))

    assert raised.value.errno == 5
