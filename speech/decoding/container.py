"""Reading one part of a file with FFmpeg. Every error of FFmpeg becomes a `DecodeError`.

FFmpeg and PyAV report a bad file with exceptions of many kinds, `UnicodeDecodeError`, `ValueError`,
`MemoryError` and `OSError` among them. None of them is a failure of this program, except an error
of the disk: `Window` records that one, and it is raised unchanged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from speech.decoding.errors import CorruptAudio, DecodeError, NotAudio
from speech.decoding.parts import Part

#: A playlist or a reference inside a file must not make the decoder open other files or URLs.
_OPTIONS: Final = {"protocol_whitelist": "none"}
#: So many bad packets in a row count as damage. A tag between two joined files is a single one.
_BAD_PACKETS: Final = 10
#: Formats whose time begins at 0: an edit list in them delays a track on purpose.
_BEGINS_AT_ZERO: Final = "mov,mp4,m4a,3gp,3g2,mj2"


class Window:
    """A part of a file as a file object for FFmpeg. It records an error of the disk."""

    def __init__(self, file: BinaryIO, part: Part | None) -> None:
        """Read a part of a file; None for all of a file that cannot seek."""
        self._file = file
        self._part = part
        self._position = 0
        self.error: OSError | None = None

    def seekable(self) -> bool:
        """Return whether `seek` may be called."""
        return self._part is not None

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes, and no bytes at the end."""
        with self._record_error():
            if self._part is None:
                return self._file.read(count)
            # Before every read: another part may have been read in between.
            self._file.seek(self._part.start + self._position)
            left = self._part.end - self._part.start - self._position
            block = self._file.read(max(0, min(count, left)))
            self._position += len(block)
            return block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset within the part, and return it."""
        assert self._part is not None  # noqa: S101 - FFmpeg asks `seekable` first
        size = self._part.end - self._part.start
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size}[whence]
        if base + offset < 0:
            raise ValueError("an offset before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position within the part."""
        return self._position

    @contextlib.contextmanager
    def _record_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            raise


@dataclass(frozen=True, slots=True)
class OpenPart:
    """A part that FFmpeg has open.

    Attributes:
        container: FFmpeg's container.
        tracks: the audio tracks with a decoder, at least one, in the file's order.
        count: the number of all audio tracks.
        zero: the container's time at which players begin, seconds.
        is_cut: whether the file has more audio than FFmpeg reads.
        window: the file object that FFmpeg reads.
    """

    container: InputContainer
    tracks: tuple[AudioStream, ...]
    count: int
    zero: float
    is_cut: bool
    window: Window


@contextlib.contextmanager
def open_part(file: BinaryIO, part: Part | None) -> Iterator[OpenPart]:
    """Open a part of a file; None stands for a whole file that cannot seek.

    Raises:
        NotAudio: the format is unknown, or the file holds no audio that can be decoded.
        CorruptAudio: FFmpeg fails while the file is in use.
        OSError: the disk cannot be read.
    """
    window = Window(file, part)
    options = _OPTIONS
    outgrown = part is not None and part.outgrown
    if outgrown:
        options = {**_OPTIONS, "ignore_length": "1"}  # an option of WAV alone
    with contextlib.ExitStack() as stack:
        with _classify_errors(window, NotAudio, "not a known audio format"):
            container = stack.enter_context(
                av.open(window, mode="r", options=options, metadata_errors="replace")
            )
            streams = container.streams.audio
            zero = (container.start_time or 0) / av.time_base
        if not streams:
            raise NotAudio("the file holds no audio")
        tracks = tuple(each for each in streams if each.codec_context is not None)
        if not tracks:
            raise NotAudio("there is no decoder for the audio")
        stack.enter_context(_classify_errors(window, CorruptAudio, "the audio cannot be decoded"))
        yield OpenPart(
            container,
            tracks,
            count=len(streams),
            zero=0.0 if container.format.name == _BEGINS_AT_ZERO else zero,
            is_cut=outgrown and container.format.name != "wav",
            window=window,
        )


@contextlib.contextmanager
def _classify_errors(window: Window, verdict: type[DecodeError], what: str) -> Iterator[None]:
    """Raise an error of FFmpeg or PyAV as the given `DecodeError`."""
    try:
        yield
    except DecodeError:
        raise
    except Exception as error:
        if window.error is not None:
            raise window.error from None
        raise verdict(f"{what}: {_describe(error)}") from error


def _describe(error: Exception) -> str:
    """Return FFmpeg's message, or the type of another error, which might quote the file."""
    if isinstance(error, av.error.FFmpegError) and error.strerror:
        return str(error.strerror)
    return type(error).__name__


def read_packets(
    part: OpenPart, tracks: tuple[AudioStream, ...]
) -> Iterator[tuple[AudioStream, Packet[AudioStream]]]:
    """Yield the packets of some tracks in the file's order, and at the end an empty one of each."""
    for packet in part.container.demux(tracks):
        stream = packet.stream
        if isinstance(stream, AudioStream):
            yield stream, packet


def decode_frames(part: OpenPart, track: AudioStream) -> Iterator[tuple[AudioFrame, int]]:
    """Yield a track's frames, each with the bytes that were read since the previous one.

    A bad packet is skipped, as players do.

    Raises:
        CorruptAudio: `_BAD_PACKETS` in a row cannot be decoded.
    """
    bad = 0
    for stream, packet in read_packets(part, (track,)):
        size = packet.size
        try:
            decoded = stream.decode(packet)
        except av.error.FFmpegError as error:
            if part.window.error is not None:
                raise
            bad += 1
            if bad == _BAD_PACKETS:
                raise CorruptAudio(
                    f"the audio cannot be decoded any further: {_describe(error)}"
                ) from error
            continue
        bad = 0
        for frame in decoded:
            yield frame, size
            size = 0
