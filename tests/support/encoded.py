"""Audio as clients of Amazon Transcribe compress it."""

from __future__ import annotations

from tests.support.audio_files import audio_file

#: By the service's names: container, codec, rate that the codec works at (None: any).
_FORMATS = {"flac": ("flac", "flac", None), "ogg-opus": ("ogg", "libopus", 48_000)}


def encode(pcm: bytes, encoding: str, *, sample_rate: int = 16_000, channels: int = 1) -> bytes:
    """Return s16le as a file of `flac` or `ogg-opus`."""
    container_format, codec, codec_rate = _FORMATS[encoding]
    return audio_file(
        pcm, container_format, codec, rate=sample_rate, codec_rate=codec_rate, channels=channels
    )
