"""Conversion of a frame's samples to the requested format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soxr
from av.audio.frame import AudioFrame
from av.audio.plane import AudioPlane

from speech.decoding.errors import CorruptAudio
from speech.downmix import Downmix
from speech.pcm import PcmFormat

Samples = npt.NDArray[np.float32]

#: Hz. No recording has less; at 1 Hz a file of 8 kB would last for days.
LEAST_RATE: Final = 1_000
#: Hz. Quadruple-rate DSD is decoded to 1.41 MHz.
MOST_RATE: Final = 1_536_000
MOST_CHANNELS: Final = 256
#: Samples of all channels in one frame. Codecs produce up to 65,536 a channel.
_MOST_SAMPLES: Final = 65_536 * MOST_CHANNELS
#: Full scale of the output, and of the arrays here.
_FULL_SCALE: Final = 32_768.0
#: The most that a recording of floats may exceed full scale.
_OVER: Final = 4 * _FULL_SCALE
#: For each of FFmpeg's sample formats: NumPy's type, the factor to 16 bit, and the zero level.
_FORMATS: Final = {
    "u8": ("u1", 256.0, 128.0),
    "s16": ("i2", 1.0, 0.0),
    "s32": ("i4", 2.0**-16, 0.0),
    "s64": ("i8", 2.0**-48, 0.0),
    "flt": ("f4", _FULL_SCALE, 0.0),
    "dbl": ("f8", _FULL_SCALE, 0.0),
}


def to_samples(frame: AudioFrame) -> Samples:
    """Return a frame's samples in units of 16 bit, shape (samples, channels).

    PyAV's `planes` and `to_ndarray` read beyond the end of an array for frames of 8 or more planes,
    so the planes are read one by one.

    Raises:
        CorruptAudio: the rate or the number of channels is impossible.
    """
    channels = frame.layout.nb_channels
    if not LEAST_RATE <= frame.sample_rate <= MOST_RATE:
        raise CorruptAudio(f"{frame.sample_rate} Hz is not a sample rate of audio")
    if not 1 <= channels <= MOST_CHANNELS or frame.samples * channels > _MOST_SAMPLES:
        raise CorruptAudio(f"{channels} channels in frames of {frame.samples} samples")
    kind, factor, zero = _FORMATS[frame.format.name.removesuffix("p")]
    if frame.format.is_planar:
        planes = [_plane(frame, number, kind, frame.samples) for number in range(channels)]
        raw = np.stack(planes, axis=1)
    else:
        raw = _plane(frame, 0, kind, frame.samples * channels).reshape(-1, channels)
    if raw.dtype.kind == "f":
        raw = np.nan_to_num(raw, posinf=0.0, neginf=0.0).clip(-_OVER / factor, _OVER / factor)
    samples: Samples = raw.astype(np.float32)
    if zero:
        samples -= np.float32(zero)
    if factor != 1.0:
        samples *= np.float32(factor)
    return samples


def _plane(frame: AudioFrame, number: int, kind: str, count: int) -> npt.NDArray[Any]:
    plane: Any = AudioPlane(frame, number)
    return np.frombuffer(plane, kind, count=count)


class Converter:
    """Converts frames to one format. Their own format may change within a recording.

    Args:
        wanted: the format of the output, with 1 or 2 channels.
    """

    def __init__(self, wanted: PcmFormat) -> None:
        self._wanted = wanted
        self._shape: tuple[int, int] | None = None
        self._downmix: Downmix | None = None
        self._rate: soxr.ResampleStream | None = None

    def process(self, samples: Samples, sample_rate: int) -> Iterator[bytes]:
        """Take samples, shape (samples, channels); yield the output that is complete."""
        shape = (samples.shape[1], sample_rate)
        if shape != self._shape:
            yield from self.flush()
            self._open(*shape)
        yield self._convert(self._mix(samples))

    def silence(self, seconds: float) -> Iterator[bytes]:
        """Yield the rest of the output, then `seconds` of silence in pieces of one second."""
        yield from self.flush()
        second = self._wanted.bytes_per_second
        left = round(seconds * self._wanted.sample_rate) * self._wanted.bytes_per_frame
        while left > 0:
            yield bytes(min(left, second))
            left -= second

    def flush(self) -> Iterator[bytes]:
        """Yield the rest of the output of the frames so far. Further frames may follow."""
        if self._shape is None:
            return
        self._shape = None
        width = self._wanted.channels
        rest = np.empty((0, width), np.float32)
        if self._downmix is not None:
            rest = np.repeat(self._downmix.flush()[:, np.newaxis], width, axis=1)
        yield self._convert(rest, is_last=True)

    def _open(self, channels: int, rate: int) -> None:
        self._shape = (channels, rate)
        wanted = self._wanted
        self._downmix = Downmix(channels, rate) if channels > wanted.channels else None
        self._rate = (
            None
            if rate == wanted.sample_rate
            else soxr.ResampleStream(
                rate, wanted.sample_rate, wanted.channels, dtype="float32", quality="HQ"
            )
        )

    def _mix(self, samples: Samples) -> Samples:
        """Return samples with the wanted number of channels, shape (samples, channels)."""
        if self._downmix is not None:
            samples = self._downmix.process(samples)[:, np.newaxis]
        if samples.shape[1] < self._wanted.channels:
            samples = np.repeat(samples, self._wanted.channels, axis=1)
        return samples

    def _convert(self, samples: Samples, *, is_last: bool = False) -> bytes:
        if self._rate is not None and (len(samples) or is_last):
            one = self._wanted.channels == 1
            samples = self._rate.resample_chunk(
                np.ascontiguousarray(samples[:, 0] if one else samples), last=is_last
            )
        return np.rint(samples).clip(-_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes()
