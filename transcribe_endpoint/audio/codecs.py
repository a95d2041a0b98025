"""FFmpeg's decoders, and the errors of audio that they cannot decode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.requests import TranscribeRequest


def samples_of(frame: AudioFrame) -> bytes:
    """Return the PCM of a packed frame without the padding of its plane."""
    return bytes(frame.planes[0])[: frame.samples * 2 * frame.layout.nb_channels]


def refuse_undecodable(frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
    """Yield `frames`, and turn errors of FFmpeg into refusals.

    Raises:
        BadRequest: FFmpeg cannot decode them.
    """
    try:
        yield from frames
    except av.error.FFmpegError as error:
        raise BadRequest("The audio cannot be decoded.") from error


def check_channels(channels: int, request: TranscribeRequest) -> None:
    """Check that audio has enough channels for the request; surplus ones are mixed later.

    Raises:
        BadRequest: there are too few.
    """
    if channels < request.channels:
        raise BadRequest(f"The audio has 1 channel, and {request.channels} are to be identified.")


def open_codec(name: str, extradata: bytes | None, **options: str) -> AudioCodecContext:
    """Return FFmpeg's decoder of this name."""
    codec = cast("AudioCodecContext", av.CodecContext.create(name, "r"))
    codec.extradata = extradata
    codec.options = options
    return codec
