"""Audio as it comes in events: decoded as it was, or refused."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.transcribe_values import START_STREAM_TRANSCRIPTION
from tests.support.encoded import encode
from transcribe_endpoint.audio import ogg
from transcribe_endpoint.audio.decoders import (
    MAX_DECODED_SECONDS,
    Decoder,
    decoder_for,
)
from transcribe_endpoint.audio.flac import MAX_UNDECODED_BYTES
from transcribe_endpoint.audio.ogg import OggReader
from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.requests import TranscribeRequest

pytestmark = pytest.mark.unit

RATE = 16_000
HERTZ = 440
COMPRESSED = ["flac", "ogg-opus"]


def decoder(encoding: str, **changes: str) -> Decoder:
    asked = {"language-code": "en-US", "media-encoding": encoding, "sample-rate": str(RATE)}
    return decoder_for(TranscribeRequest.parse(asked | changes))


BOTH_CHANNELS = {"enable-channel-identification": "true", "number-of-channels": "2"}


def tone(seconds: float, *channels: int) -> bytes:
    """Return a tone, with so high waves in each channel."""
    wave = np.sin(2 * np.pi * HERTZ * np.arange(round(seconds * RATE)) / RATE)
    return np.stack([wave * height for height in channels], axis=1).astype("<i2").tobytes()


TONE = tone(2.0, 8_000)
FILES = {encoding: encode(TONE, encoding) for encoding in COMPRESSED}
NOISE = np.random.default_rng(1).normal(0, 3_000, 2 * RATE).astype("<i2").tobytes()
NOISE_FLAC = encode(NOISE, "flac")
FLAC, OPUS = FILES["flac"], FILES["ogg-opus"]
#: `fLaC`, the block that describes the audio, and its last bit set.
FLAC_HEAD = FLAC[:4] + bytes([0x80]) + FLAC[5:42]


def decoded(decoding: Decoder, data: bytes, size: int = 1_000) -> bytes:
    pieces: list[bytes] = []
    for at in range(0, len(data), size):
        pieces += decoding.feed(data[at : at + size])
    return b"".join([*pieces, *decoding.finish()])


def samples(pcm: bytes) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.frombuffer(pcm, dtype="<i2")


@settings(max_examples=20)
@given(st.integers(1, 8_000))
def test_flac_comes_out_as_it_went_in_however_it_is_cut(size: int) -> None:
    assert decoded(decoder("flac"), FLAC, size) == TONE


@settings(max_examples=20)
@given(st.integers(1, 8_000))
def test_opus_comes_out_as_it_sounded_however_it_is_cut(size: int) -> None:
    pcm = decoded(decoder("ogg-opus"), OPUS, size)

    spectrum = np.abs(np.fft.rfft(samples(pcm)))
    assert len(pcm) == pytest.approx(len(TONE), rel=0.02)
    assert np.argmax(spectrum) * RATE / len(samples(pcm)) == pytest.approx(HERTZ, abs=3)
    assert np.abs(samples(pcm)).max() == pytest.approx(8_000, rel=0.15)


@pytest.mark.parametrize("encoding", COMPRESSED)
@pytest.mark.parametrize("pcm", [tone(8.0, 8_000), bytes(8 * 2 * RATE)], ids=["tone", "silence"])
def test_audio_is_decoded_before_it_ends(encoding: str, pcm: bytes) -> None:
    decoding = decoder(encoding)

    soon = b"".join(decoding.feed(encode(pcm, encoding)))

    assert len(soon) > len(pcm) - 1.0 * 2 * RATE


@pytest.mark.parametrize("encoding", COMPRESSED)
def test_two_channels_stay_two_or_are_mixed_as_was_asked(encoding: str) -> None:
    file = encode(tone(1.0, 8_000, 2_000), encoding, channels=2)

    apart = samples(decoded(decoder(encoding, **BOTH_CHANNELS), file)).reshape(-1, 2)
    mixed = samples(decoded(decoder(encoding), file))

    assert np.abs(apart).max(axis=0) == pytest.approx([8_000, 2_000], rel=0.2)
    assert np.abs(mixed).max() == pytest.approx(5_000, rel=0.2)


@pytest.mark.parametrize("encoding", COMPRESSED)
def test_one_channel_is_not_two(encoding: str) -> None:
    with pytest.raises(BadRequest, match="1 channel"):
        decoded(decoder(encoding, **BOTH_CHANNELS), FILES[encoding])


def ulaw(code: int) -> int:
    """Return the sample of a code: ITU-T G.711, table 2a, in 16 bits."""
    code ^= 0xFF
    height = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return -height if code & 0x80 else height


def alaw(code: int) -> int:
    """Return the sample of a code: ITU-T G.711, table 1a, in 16 bits."""
    code ^= 0x55
    exponent, height = (code & 0x70) >> 4, ((code & 0x0F) << 4) + 8
    if exponent:
        height = height + 0x100 << exponent - 1
    return height if code & 0x80 else -height


@pytest.mark.parametrize(("encoding", "law"), [("g711-ulaw", ulaw), ("g711-alaw", alaw)])
@pytest.mark.parametrize("channels", [{}, BOTH_CHANNELS], ids=["one", "two"])
@given(size=st.integers(1, 256))
def test_g711_is_expanded_by_its_law_however_it_is_cut(
    encoding: str, law: Callable[[int], int], channels: dict[str, str], size: int
) -> None:
    decoding = decoder(encoding, **{"sample-rate": "8000"}, **channels)

    pcm = decoded(decoding, bytes(range(256)), size)

    assert samples(pcm).tolist() == [law(code) for code in range(256)]


@given(size=st.integers(1, 100))
def test_g729_has_80_samples_for_ten_bytes_however_it_is_cut(size: int) -> None:
    file = np.random.default_rng(7).bytes(1_000)
    rate = {"sample-rate": "8000"}

    pcm = decoded(decoder("g729", **rate), file, size)

    assert len(samples(pcm)) == 8_000
    assert pcm == decoded(decoder("g729", **rate), file, 1_000)
    assert samples(decoded(decoder("g729", **rate), bytes(7))).size == 0


@pytest.mark.parametrize(
    ("encoding", "changes"),
    [("g711-ulaw", {}), ("g729", {}), ("g729", {"sample-rate": "8000", **BOTH_CHANNELS})],
)
def test_audio_of_telephones_has_their_rate_and_g729_one_channel(
    encoding: str, changes: dict[str, str]
) -> None:
    with pytest.raises(BadRequest, match=encoding):
        decoder(encoding, **changes)


@pytest.mark.parametrize(("encoding", "size"), [("g711-alaw", 8_000), ("g729", 1_000)])
def test_an_event_holds_a_second_of_a_telephone(encoding: str, size: int) -> None:
    decoding = decoder(encoding, **{"sample-rate": "8000"})

    assert len(b"".join(decoding.feed(bytes(size)))) == 16_000
    with pytest.raises(BadRequest, match="too big"):
        list(decoding.feed(bytes(size + 1)))


def test_flac_of_another_rate_is_refused() -> None:
    with pytest.raises(BadRequest, match="44100 Hz"):
        decoded(decoder("flac"), encode(TONE, "flac", sample_rate=44_100))


# --- bad data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", COMPRESSED)
@pytest.mark.parametrize("data", [b"RIFF", TONE[100:200], b"<html>"])
def test_another_format_is_refused_at_once(encoding: str, data: bytes) -> None:
    with pytest.raises(BadRequest):
        list(decoder(encoding).feed(data))


@pytest.mark.parametrize(("encoding", "other"), [("flac", "ogg-opus"), ("ogg-opus", "flac")])
def test_the_formats_are_not_taken_for_each_other(encoding: str, other: str) -> None:
    with pytest.raises(BadRequest):
        list(decoder(encoding).feed(FILES[other]))


@pytest.mark.parametrize("encoding", COMPRESSED)
@settings(max_examples=50)
@given(at=st.integers(0, 10**6), bits=st.integers(1, 255))
def test_damage_is_refused_and_never_a_defect(encoding: str, at: int, bits: int) -> None:
    file = bytearray(FILES[encoding])
    file[at % len(file)] ^= bits

    with contextlib.suppress(BadRequest):
        decoded(decoder(encoding), bytes(file))


@settings(max_examples=50)
@given(st.integers(10_000, 50_000), st.integers(1, 255))
def test_no_frame_of_flac_is_passed_over(at: int, bits: int) -> None:
    file = bytearray(NOISE_FLAC)
    file[at] ^= bits

    with pytest.raises(BadRequest):
        decoded(decoder("flac"), bytes(file))


@pytest.mark.parametrize("frames", [1, 200])
def test_flac_may_begin_with_any_number(frames: int) -> None:
    """As a recording does that was joined while it went on."""
    long = encode(TONE * 8, "flac")
    syncs = [at for at in range(8_000, len(long)) if long[at : at + 2] == b"\xff\xf8"]
    joined = syncs[frames]

    pcm = decoded(decoder("flac"), FLAC_HEAD + long[joined:])

    assert (TONE * 8).endswith(pcm)
    assert len(pcm) == len(TONE) * 8 - frames * 2 * 1_152


@given(st.integers(0, len(OPUS) - 1), st.integers(1, 255))
def test_no_damaged_page_of_ogg_is_read(at: int, bits: int) -> None:
    file = bytearray(OPUS)
    file[at] ^= bits
    whole = list(OggReader().feed(OPUS))

    packets: list[bytes] = []
    with contextlib.suppress(BadRequest):
        packets.extend(OggReader().feed(bytes(file)))

    assert packets == whole[: len(packets)]
    assert len(packets) < len(whole)


@given(st.binary(max_size=300))
def test_nonsense_behind_the_header_of_flac_is_refused(nonsense: bytes) -> None:
    with pytest.raises(BadRequest):
        decoded(decoder("flac"), FLAC_HEAD + b"\0" + nonsense)


@pytest.mark.parametrize("encoding", COMPRESSED)
def test_a_stream_that_breaks_off_is_decoded_as_far_as_it_came(encoding: str) -> None:
    pcm = decoded(decoder(encoding), FILES[encoding][:-40])

    assert len(TONE) // 4 < len(pcm) < len(TONE)


@pytest.mark.parametrize("encoding", COMPRESSED)
def test_a_stream_without_audio_is_refused_and_none_at_all_is_not(encoding: str) -> None:
    assert decoded(decoder(encoding), b"") == b""
    with pytest.raises(BadRequest, match="no audio"):
        decoded(decoder(encoding), FILES[encoding][:60])


# --- bounds ---------------------------------------------------------------------------------------


def test_flac_that_holds_no_frames_is_not_kept() -> None:
    decoding = decoder("flac")
    fed = 0

    with pytest.raises(BadRequest, match="no audio"):
        for chunk in [FLAC_HEAD + b"\xff\xf8", *[bytes(32_000)] * 1_000]:
            fed += len(chunk)
            assert list(decoding.feed(chunk)) == []

    assert fed < MAX_UNDECODED_BYTES + 64_000


def test_a_picture_in_the_header_is_passed_over() -> None:
    picture = bytes([6]) + (200_000).to_bytes(3, "big") + bytes(200_000)
    head = FLAC[:42]

    assert decoded(decoder("flac"), head + picture + FLAC[42:]) == TONE


def test_an_event_that_decompresses_to_minutes_is_refused() -> None:
    sixty_milliseconds = b"\x18"
    packets = [sixty_milliseconds] * (10 * round(MAX_DECODED_SECONDS / 0.06))
    head, tags = list(OggReader().feed(OPUS))[:2]
    decoding = decoder("ogg-opus")
    pcm = 0

    with pytest.raises(BadRequest, match="too big"):
        for piece in decoding.feed(pages(head, tags, *packets)):
            pcm += len(piece)

    assert 0 < pcm <= MAX_DECODED_SECONDS * 2 * RATE


def test_a_packet_that_does_not_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ogg, "MAX_PACKET_BYTES", 1_000)

    assert list(OggReader().feed(pages(bytes(1_000)))) == [bytes(1_000)]
    with pytest.raises(BadRequest, match="too long"):
        list(OggReader().feed(pages(bytes(1_001))))


def test_pages_that_are_missing_or_doubled_are_refused() -> None:
    first, second, third = pages(b"a"), pages(b"b", sequence=1), pages(b"c", sequence=2)

    assert list(OggReader().feed(first + second + third)) == [b"a", b"b", b"c"]
    for wrong in (first + third, first + second + second, second, first + first):
        with pytest.raises(BadRequest):
            list(OggReader().feed(wrong))


@given(st.lists(st.binary(max_size=700), min_size=1, max_size=6), st.integers(1, 500))
def test_packets_come_out_as_they_went_in(packets: list[bytes], size: int) -> None:
    stream, reader = pages(*packets), OggReader()

    found: list[bytes] = []
    for at in range(0, len(stream), size):
        found.extend(reader.feed(stream[at : at + size]))

    assert found == packets


def pages(*packets: bytes, sequence: int = 0) -> bytes:
    """Return Ogg pages that hold `packets`, each of as many segments as fit."""
    segments: list[tuple[bytes, bool]] = []
    for packet in packets:
        cuts = [packet[at : at + 255] for at in range(0, len(packet) + 1, 255)]
        segments += [(cut, cut is cuts[-1]) for cut in cuts]
    stream = b""
    goes_on = False
    for at in range(0, len(segments), 255):
        inside = segments[at : at + 255]
        flags = 1 * goes_on | 2 * (sequence == 0)
        goes_on = not inside[-1][1]
        stream += page(flags, sequence, [segment for segment, _ in inside])
        sequence += 1
    return stream


def page(flags: int, sequence: int, segments: Iterable[bytes]) -> bytes:
    segments = list(segments)
    lengths = bytes(map(len, segments))
    body = lengths + b"".join(segments)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, 0, 7, sequence, 0, len(lengths))
    checksum = struct.pack("<I", ogg._crc(head + body))
    return head[:22] + checksum + head[26:] + body


@pytest.mark.parametrize("encoding", START_STREAM_TRANSCRIPTION.parameters["media-encoding"].values)
def test_only_pcm_passes_as_it_is(encoding: str) -> None:
    """An encoding that a newer model adds must not be taken for samples."""
    samples = bytes(range(1, 81))
    found = b""
    with contextlib.suppress(BadRequest):
        found = decoded(decoder(encoding, **{"sample-rate": "8000"}), samples)

    assert (found == samples) == (encoding == "pcm")
