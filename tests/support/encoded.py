"""Audio as clients of Amazon Transcribe compress it."""

from __future__ import annotations

import io
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream

#: By the service's names: container, codec, rate that the codec works at (None: any).
_FORMATS = {"flac": ("flac", "flac", None), "ogg-opus": ("ogg", "libopus", 48_000)}


def encode(pcm: bytes, encoding: str, *, sample_rate: int = 16_000, channels: int = 1) -> bytes:
    """Return s16le as a file of `flac` or `ogg-opus`."""
    container_format, codec, fixed_rate = _FORMATS[encoding]
    layout = {1: "mono", 2: "stereo"}[channels]
    rate = fixed_rate or sample_rate
    file = io.BytesIO()
    with av.open(file, mode="w", format=container_format) as container:
        stream = cast("AudioStream", container.add_stream(codec, rate=rate, layout=layout))
        samples = np.frombuffer(pcm, dtype="<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate = sample_rate
        size = stream.codec_context.frame_size or None
        resampler = av.AudioResampler(format="s16", layout=layout, rate=rate, frame_size=size)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()
