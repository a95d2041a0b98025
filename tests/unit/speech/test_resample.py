from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.pcm import OddAudio, PcmFormat
from speech.resample import Resampler

pytestmark = pytest.mark.unit

RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_056, 44_100, 48_000, 96_000)

formats = st.builds(PcmFormat, st.sampled_from(RATES), st.integers(1, 3))


def noise(pcm_format: PcmFormat, frames: int, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    samples = rng.integers(-32_768, 32_768, frames * pcm_format.channels)
    return samples.astype("<i2").tobytes()


def tone(pcm_format: PcmFormat, seconds: float, hertz: float, amplitude: float) -> bytes:
    time = np.arange(round(seconds * pcm_format.sample_rate)) / pcm_format.sample_rate
    mono = amplitude * np.sin(2 * np.pi * hertz * time)
    return np.repeat(mono, pcm_format.channels).astype("<i2").tobytes()


def resampled(pcm_format: PcmFormat, *pieces: bytes, mixed: bool = True) -> bytes:
    resampler = Resampler(pcm_format, mixed=mixed)
    return b"".join([*map(resampler.process, pieces), resampler.flush()])


def samples(pcm: bytes) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.frombuffer(pcm, dtype="<i2").astype(np.float64)


@given(formats, st.integers(0, 20_000))
def test_the_number_of_samples_is_exact(pcm_format: PcmFormat, frames: int) -> None:
    result = resampled(pcm_format, noise(pcm_format, frames))

    expected = (2 * frames * 16_000 + pcm_format.sample_rate) // (2 * pcm_format.sample_rate)
    assert len(result) == 2 * expected


@given(pcm_format=formats, cuts=st.lists(st.integers(0, 3_000), max_size=12), mixed=st.booleans())
def test_how_the_input_is_cut_does_not_matter(
    *, pcm_format: PcmFormat, cuts: list[int], mixed: bool
) -> None:
    pcm = noise(pcm_format, sum(cuts))
    pieces, rest = [], pcm
    for cut in cuts:
        size = cut * pcm_format.bytes_per_frame
        pieces.append(rest[:size])
        rest = rest[size:]

    whole = resampled(pcm_format, pcm, mixed=mixed)
    assert resampled(pcm_format, *pieces, mixed=mixed) == whole


@given(st.sampled_from(RATES), st.integers(1, 3), st.integers(0, 8_000))
def test_channels_that_stay_apart_are_as_if_each_were_alone(
    rate: int, channels: int, frames: int
) -> None:
    pcm = noise(PcmFormat(rate, channels), frames)
    apart = np.frombuffer(pcm, dtype="<i2").reshape(-1, channels)
    alone = [resampled(PcmFormat(rate), apart[:, n].tobytes()) for n in range(channels)]

    together = resampled(PcmFormat(rate, channels), pcm, mixed=False)

    result = np.frombuffer(together, dtype="<i2").reshape(-1, channels)
    for number, expected in enumerate(alone):
        assert result[:, number].tobytes() == expected


def test_sixteen_kilohertz_mono_is_passed_on_without_a_copy() -> None:
    pcm = noise(PcmFormat(16_000), 1_600)

    assert Resampler(PcmFormat(16_000)).process(pcm) is pcm


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_keeps_its_pitch_and_loudness(rate: int, channels: int) -> None:
    pcm = tone(PcmFormat(rate, channels), seconds=1.0, hertz=1_000, amplitude=10_000)

    result = samples(resampled(PcmFormat(rate, channels), pcm))

    expected = samples(tone(PcmFormat(16_000), seconds=1.0, hertz=1_000, amplitude=10_000))
    assert np.abs(result - expected)[800:-800].max() < 20


def test_what_the_new_rate_cannot_hold_is_removed_instead_of_folded_back() -> None:
    pcm = tone(PcmFormat(48_000), seconds=1.0, hertz=10_000, amplitude=20_000)

    result = samples(resampled(PcmFormat(48_000), pcm))

    assert np.abs(result)[800:-800].max() < 20


def test_channels_are_averaged() -> None:
    stereo = np.array([[1_000, 3_000], [32_767, 32_767], [-32_768, 32_768 - 1]], dtype="<i2")

    result = resampled(PcmFormat(16_000, 2), stereo.tobytes())

    assert samples(result).tolist() == [2_000, 32_767, 0]


def test_what_becomes_louder_than_full_scale_is_clipped_and_does_not_wrap() -> None:
    square = np.where(np.arange(48_000) // 40 % 2, 32_767, -32_768).astype("<i2")

    result = samples(resampled(PcmFormat(48_000), square.tobytes()))

    assert result.max() == 32_767
    assert result.min() == -32_768
    middle = np.sign(result[6:-6])
    assert np.count_nonzero(np.diff(middle)) <= 48_000 // 40  # a wrapped peak would change sign


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_piece_that_ends_inside_a_frame_is_refused(rate: int) -> None:
    with pytest.raises(OddAudio):
        Resampler(PcmFormat(rate, 2)).process(bytes(6))
