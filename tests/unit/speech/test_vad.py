from __future__ import annotations

import numpy as np
import pytest

from speech.vad import FRAME_BYTES, VoiceActivity

pytestmark = pytest.mark.unit


def noise(samples: int) -> bytes:
    rng = np.random.default_rng(0)
    return rng.integers(-4_000, 4_000, samples).astype("<i2").tobytes()


def test_frames_are_the_audio_however_it_is_cut() -> None:
    pcm = noise(16_000)
    one_by_one, at_once = VoiceActivity(), VoiceActivity()

    pieces = [pcm[at : at + 1_000] for at in range(0, len(pcm), 1_000)]
    cut = [frame for piece in pieces for frame in one_by_one.frames(piece)]
    whole = list(at_once.frames(pcm))

    assert cut == whole
    assert b"".join(frame for _, frame in whole) + at_once.rest == pcm
    assert {len(frame) for _, frame in whole} == {FRAME_BYTES}


def test_noise_is_not_taken_for_speech() -> None:
    assert max(probability for probability, _ in VoiceActivity().frames(noise(48_000))) < 0.35
