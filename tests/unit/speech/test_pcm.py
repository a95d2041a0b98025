from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.pcm import AudioTooLong, EmptyAudio, InvalidFormat, OddAudio, PcmError, PcmFormat

pytestmark = pytest.mark.unit

formats = st.builds(PcmFormat, st.integers(8_000, 96_000), st.integers(1, 8))


@given(formats, st.integers(1, 5_000))
def test_whole_frames_pass_and_know_their_length(pcm_format: PcmFormat, frames: int) -> None:
    pcm = bytes(frames * pcm_format.bytes_per_frame)

    pcm_format.check(pcm)

    assert pcm_format.seconds(len(pcm)) == pytest.approx(frames / pcm_format.sample_rate)


@given(formats, st.integers(1, 5_000))
def test_a_piece_that_ends_inside_a_frame_is_refused(pcm_format: PcmFormat, frames: int) -> None:
    pcm = bytes(frames * pcm_format.bytes_per_frame - 1)

    with pytest.raises(OddAudio if pcm else EmptyAudio):
        pcm_format.check(pcm)


def test_no_bytes_are_refused() -> None:
    with pytest.raises(EmptyAudio):
        PcmFormat(16_000).check(b"")


def test_the_limit_itself_is_allowed_and_one_frame_more_is_not() -> None:
    stereo = PcmFormat(44_100, channels=2)

    stereo.check(bytes(44_100 * 4), max_seconds=1.0)

    with pytest.raises(AudioTooLong):
        stereo.check(bytes(44_101 * 4), max_seconds=1.0)


@pytest.mark.parametrize(("sample_rate", "channels"), [(0, 1), (-1, 1), (16_000, 0)])
def test_a_format_that_no_audio_has_is_refused(sample_rate: int, channels: int) -> None:
    with pytest.raises(InvalidFormat):
        PcmFormat(sample_rate, channels)


def test_every_refusal_is_a_pcm_error() -> None:
    assert all(
        issubclass(kind, PcmError) for kind in (InvalidFormat, EmptyAudio, OddAudio, AudioTooLong)
    )
