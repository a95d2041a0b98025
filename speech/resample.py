"""Streaming conversion of PCM to the input of engines: 16 kHz, s16le, mixed or not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from speech.downmix import Downmix
from speech.pcm import SAMPLE_RATE, OddAudio, PcmFormat

_Samples = npt.NDArray[np.float32]

_LOUDEST = 32_767.0


class Resampler:
    """Converts one stream: call `process` for its audio, then `flush` once.

    The output does not depend on how the input is cut into chunks. n frames at rate r give exactly
    round(n * 16000 / r) samples, so that time stays linear over the stream. `process` may hold back
    some tens of milliseconds, which `flush` returns.
    """

    def __init__(self, source: PcmFormat, *, mixed: bool = True) -> None:
        """Create a converter. Unless `mixed`, the channels of the source stay interleaved."""
        self._source = source
        self._downmix = (
            Downmix(source.channels, source.sample_rate) if mixed and source.channels > 1 else None
        )
        channels = 1 if self._downmix else source.channels
        # Not int16: soxr then adds dither that differs from run to run, which helps no recogniser.
        self._stream = (
            None
            if source.sample_rate == SAMPLE_RATE
            else soxr.ResampleStream(
                source.sample_rate, SAMPLE_RATE, channels, dtype="float32", quality="HQ"
            )
        )
        self._unchanged = self._stream is None and self._downmix is None
        self._nothing = np.zeros((0, channels) if channels > 1 else 0, dtype=np.float32)

    def process(self, pcm: bytes) -> bytes:
        """Take whole frames of the source; return the complete output, which may be empty.

        Raises:
            OddAudio: `pcm` ends in the middle of a frame.
        """
        if len(pcm) % self._source.bytes_per_frame:
            raise OddAudio(f"{len(pcm)} bytes are not a whole number of frames")
        if self._unchanged:
            return pcm
        samples = self._frames(pcm)
        if self._downmix is not None:
            samples = self._downmix.process(samples)
        if self._stream is not None and samples.size:
            samples = self._stream.resample_chunk(samples)
        return _s16le(samples)

    def flush(self) -> bytes:
        """End the stream and return the rest of the output."""
        rest = self._nothing if self._downmix is None else self._downmix.flush()
        if self._stream is not None:
            rest = self._stream.resample_chunk(rest, last=True)
        return _s16le(rest)

    def _frames(self, pcm: bytes) -> _Samples:
        """Return the samples of one channel, or frames by channels."""
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
        channels = self._source.channels
        return samples if channels == 1 else samples.reshape(-1, channels)


def _s16le(samples: _Samples) -> bytes:
    """Round to 16 bit. Samples beyond full scale are clipped, not wrapped."""
    return np.rint(samples).clip(-_LOUDEST - 1, _LOUDEST).astype("<i2").tobytes()
