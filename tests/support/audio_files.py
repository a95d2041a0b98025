"""Recordings in any format that this PyAV can write."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
HERTZ = 440


def tone(seconds: float, rate: int, channels: int = 1) -> bytes:
    """Return a tone of `HERTZ` as s16le, the same on every channel."""
    times = np.arange(round(seconds * rate)) / rate
    wave = (8_000 * np.sin(2 * np.pi * HERTZ * times)).astype("<i2")
    return np.repeat(wave, channels).tobytes()


def audio_file(
    pcm: bytes,
    container_format: str,
    codec: str,
    *,
    rate: int,
    codec_rate: int | None = None,
    sample_format: str = "s16",
    channels: int = 1,
    title: str = "",
) -> bytes:
    """Return s16le of `rate` as a file; `codec_rate` is what the codec works at, if it differs.

    Raises:
        av.error.FFmpegError, ValueError: this PyAV cannot write it.
    """
    layout = LAYOUTS[channels]
    file = io.BytesIO()
    with av.open(file, mode="w", format=container_format) as container:
        if title:
            container.metadata["title"] = title
        codec_rate = codec_rate or rate
        stream: Any = container.add_stream(codec, rate=codec_rate, layout=layout)
        samples = np.frombuffer(pcm, "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=sample_format,
            layout=layout,
            rate=codec_rate,
            frame_size=stream.codec_context.frame_size or None,
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()
