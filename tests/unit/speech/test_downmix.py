from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.downmix import Downmix
from speech.pcm import PcmFormat
from speech.resample import Resampler

pytestmark = pytest.mark.unit

RATE = 16_000
Samples = npt.NDArray[np.float32]


def voice(seconds: float = 1.0, gain: float = 8_000.0, hertz: float = 300.0) -> Samples:
    return (gain * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype("f4")


def mixed(frames: Samples, *cuts: int) -> Samples:
    downmix = Downmix(frames.shape[1], RATE)
    pieces = np.split(frames, np.cumsum(cuts))
    return np.concatenate([*map(downmix.process, pieces), downmix.flush()])


def level(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


@pytest.mark.parametrize("channels", [2, 3, 4, 6, 8, 16, 60])
def test_a_voice_on_any_one_channel_is_kept(channels: int) -> None:
    for speaking in range(channels):
        frames = np.zeros((RATE, channels), np.float32)
        frames[:, speaking] = voice()

        assert level(mixed(frames)) > level(voice()) / 4.1


def test_channels_of_opposite_phase_do_not_cancel() -> None:
    frames = np.stack([voice(), -voice()], axis=1)

    assert mixed(frames) == pytest.approx(frames[:, 0], abs=8_000 * 0.02)


def test_a_voice_after_channels_that_cancelled_is_kept_whichever_channel_it_is_on() -> None:
    cancelling = np.stack([voice(), -voice()], axis=1)
    right = np.stack([np.zeros(RATE, np.float32), voice()], axis=1)

    result = mixed(np.concatenate([cancelling, right]))

    assert level(result[RATE : RATE + 3_200]) > level(voice()) / 4
    assert level(result[-3_200:]) == pytest.approx(level(voice()) / 2, rel=0.01)


def test_two_who_speak_at_once_are_both_in_the_mix() -> None:
    frames = np.zeros((RATE, 8), np.float32)
    frames[:, 2], frames[:, 5] = voice(hertz=300), voice(hertz=700, gain=2_000)

    spectrum = np.abs(np.fft.rfft(mixed(frames)))

    assert spectrum[300] == pytest.approx(4 * spectrum[700], rel=0.05)


@given(
    channels=st.integers(2, 5),
    cuts=st.lists(st.integers(0, 900), max_size=8),
    gains=st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.01]), min_size=5, max_size=5),
)
def test_how_the_input_is_cut_changes_nothing_and_nothing_is_lost(
    channels: int, cuts: list[int], gains: list[float]
) -> None:
    frames = np.outer(voice(0.25), gains[:channels]).astype(np.float32)

    whole, cut = mixed(frames), mixed(frames, *cuts)

    assert len(whole) == len(frames)
    assert cut.tolist() == whole.tolist()


@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_the_mix_is_never_louder_than_the_channels_together(channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gains = rng.choice([0.0, 0.1, 1.0], channels)
    frames = (rng.standard_normal((4_000, channels)) * 1_000 * gains).astype(np.float32)

    assert np.all(np.abs(mixed(frames)) <= np.abs(frames).sum(axis=1) + 1)


def test_a_live_stream_of_opposite_phases_reaches_the_engine() -> None:
    frames = np.stack([voice(), -voice()], axis=1).astype("<i2")

    resampler = Resampler(PcmFormat(RATE, 2))
    result = np.frombuffer(resampler.process(frames.tobytes()) + resampler.flush(), "<i2")

    assert level(result.astype(np.float32)) == pytest.approx(level(voice()), rel=0.05)
