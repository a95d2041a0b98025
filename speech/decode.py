"""Reading recordings of any format into PCM, a piece at a time.

DecodeError
├── NotAudio       the file is of no known format, or holds no audio
└── CorruptAudio   the audio ends in something that cannot be decoded

A file that does not exist or may not be read raises `OSError` as everywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from speech.engines.base import SAMPLE_RATE
from speech.pcm import PcmFormat

#: A path, or a binary file that is open for reading. Some formats (m4a) need one that can seek.
Source = str | PathLike[str] | BinaryIO

_LAYOUTS = {1: "mono", 2: "stereo"}
#: A playlist or a reference inside a file must not make the decoder open other files or URLs.
_OPTIONS = {"protocol_whitelist": "none"}
#: Hz. No recording has less, and at 1 Hz a file of 8 kB would say that it lasts for days.
LEAST_RATE = 1_000
#: A tag between two joined files is one bad packet; this many in a row are damage.
_BAD_PACKETS = 10


class DecodeError(Exception):
    """A recording cannot be read as audio."""


class NotAudio(DecodeError):
    """The file is of no known format, or holds no audio."""


class CorruptAudio(DecodeError):
    """The audio ends in something that cannot be decoded."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a recording says about itself."""

    #: Seconds; None where the file does not tell, as with what browsers record.
    duration: float | None
    #: Hz.
    sample_rate: int
    channels: int
    #: FFmpeg's name, such as `opus`.
    codec: str


def probe(source: Source) -> AudioInfo:
    """Return what the header of a recording tells.

    Raises:
        NotAudio: the file is of no known format, or holds no audio.
        OSError: the file cannot be read.
    """
    with _open(source) as (container, stream):
        duration: float | None = None
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / av.time_base
        return AudioInfo(
            duration=duration,
            sample_rate=stream.codec_context.sample_rate,
            channels=stream.codec_context.channels,
            codec=stream.codec_context.name,
        )


def decode(
    source: Source,
    *,
    sample_rate: int = SAMPLE_RATE,
    channels: int = 1,
    chunk_seconds: float = 0.1,
) -> Iterator[bytes]:
    """Yield a recording as s16le of the given rate and channels (1 or 2).

    Each piece lasts `chunk_seconds`, the last one at most that. The file is read as the pieces
    are taken, so memory does not grow with its length.

    Raises:
        NotAudio: the file is of no known format, or holds no audio.
        CorruptAudio: what was yielded is good, but what follows cannot be decoded, or has less
            than `LEAST_RATE`.
        OSError: the file cannot be read.
    """
    wanted = PcmFormat(sample_rate, channels)
    size = max(1, round(chunk_seconds * sample_rate)) * wanted.bytes_per_frame
    pending = bytearray()
    for pcm in _converted(source, wanted):
        pending += pcm
        while len(pending) >= size:
            yield bytes(pending[:size])
            del pending[:size]
    if pending:
        yield bytes(pending)


def _converted(source: Source, wanted: PcmFormat) -> Iterator[bytes]:
    """Yield the recording in the wanted format, in pieces of any length."""
    with _open(source) as (container, stream):
        shape: tuple[str, str, int] | None = None
        resampler: AudioResampler | None = None
        for frame in _frames(container, stream):
            if frame.sample_rate < LEAST_RATE:
                raise CorruptAudio(f"{frame.sample_rate} Hz is not a sample rate of sound")
            frame.pts = None  # gaps in a recording's clock are no reason to stop
            # Recordings that were joined end to end may change their format on the way.
            if shape != (shape := (frame.format.name, frame.layout.name, frame.sample_rate)):
                yield from _pcm(resampler, None)
                resampler = AudioResampler(
                    format="s16", layout=_LAYOUTS[wanted.channels], rate=wanted.sample_rate
                )
            yield from _pcm(resampler, frame)
        yield from _pcm(resampler, None)


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Yield the decoded frames of a recording; skip a bad packet, as players do.

    Raises:
        CorruptAudio: the container breaks off, or `_BAD_PACKETS` in a row cannot be decoded.
    """
    bad = 0
    try:
        for packet in container.demux(stream):
            try:
                frames = stream.decode(packet)
            except av.error.InvalidDataError:
                bad += 1
                if bad == _BAD_PACKETS:
                    raise
            else:
                bad = 0
                yield from frames
    except av.error.FFmpegError as error:
        raise CorruptAudio(f"the audio cannot be decoded any further: {error}") from error


def _pcm(resampler: AudioResampler | None, frame: AudioFrame | None) -> Iterator[bytes]:
    """Yield what comes out of `resampler` for `frame`, or its rest for None."""
    if resampler is None:
        return
    for converted in resampler.resample(frame):
        size = converted.samples * converted.layout.nb_channels * 2
        yield bytes(converted.planes[0])[:size]  # planes are padded


@contextlib.contextmanager
def _open(source: Source) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Open the first audio stream of a recording."""
    with contextlib.ExitStack() as stack:
        # FFmpeg gets an open file and never a name, which it could take for a URL.
        file = (
            stack.enter_context(Path(source).open("rb"))
            if isinstance(source, str | PathLike)
            else source
        )
        try:
            container = stack.enter_context(av.open(file, mode="r", options=_OPTIONS))
        except av.error.FFmpegError as error:
            raise NotAudio(f"not a known audio format: {error}") from error
        if not container.streams.audio:
            raise NotAudio("the file holds no audio")
        yield container, container.streams.audio[0]
