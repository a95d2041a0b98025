"""Decoding of recordings of any format to PCM, a piece at a time.

No voice is lost or misplaced in time: all channels of the chosen track are mixed, gaps in the
container's time become silence, and joined files are read one after the other. Every defect of a
file is a `DecodeError`. A failing disk, and a file that is missing or not readable, raise
`OSError`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final

import av
from av.audio.stream import AudioStream

from speech.decoding import tracks
from speech.decoding.clock import Clock
from speech.decoding.container import OpenPart, decode_frames, open_part
from speech.decoding.errors import CorruptAudio, DecodeError, NotAudio
from speech.decoding.parts import Part, find_parts
from speech.decoding.samples import Converter, to_samples
from speech.pcm import SAMPLE_RATE, PcmFormat
from transcripts.documents import AudioTrack

__all__ = [
    "AudioInfo",
    "CorruptAudio",
    "DecodeError",
    "Decoding",
    "NotAudio",
    "Source",
    "decode",
    "probe",
]

#: A path, or an open binary file. Some formats (m4a), joined files and a choice of tracks need a
#: seekable one.
Source = str | PathLike[str] | BinaryIO

#: A recording of any size may last so long, with its gaps; seconds.
_FREE_SECONDS: Final = 3600.0
#: Each further second needs at least so many bytes. The slowest speech codecs need 50 and more.
_LEAST_BYTES_PER_SECOND: Final = 2.0
#: The most parts of a joined file whose headers are read for its total length.
_PROBED_PARTS: Final = 100
#: Formats whose headers give the exact length. FFmpeg estimates the length of others.
_EXACT: Final = frozenset(
    [
        "aiff",
        "asf",
        "avi",
        "caf",
        "flac",
        "matroska,webm",
        "mov,mp4,m4a,3gp,3g2,mj2",
        "tta",
        "w64",
        "wav",
        "wv",
    ]
)
#: Less is rounding, padding and pauses at the end: in seconds, and as a share of the header's
#: length.
_LEAST_MISSING: Final = 1.0
_LEAST_SHARE_MISSING: Final = 0.05


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The facts in a recording's header."""

    #: Seconds; None where the header does not say, as in recordings of browsers.
    duration: float | None
    #: Hz.
    sample_rate: int
    channels: int
    #: FFmpeg's name, such as `opus`.
    codec: str


def probe(source: Source) -> AudioInfo:
    """Read the header of a recording.

    Raises:
        NotAudio: the format is unknown, or the file holds no audio.
        OSError: the file cannot be read.
    """
    with _open(source) as file:
        found = _find_parts(file)
        with open_part(file, found[0]) as first:
            track = first.tracks[0]
            info = AudioInfo(
                duration=_read_duration(first, track),
                sample_rate=track.codec_context.sample_rate,
                channels=track.codec_context.channels,
                codec=track.codec_context.name,
            )
        if len(found) == 1:
            return info
        return AudioInfo(
            duration=_sum_durations(file, found),
            sample_rate=info.sample_rate,
            channels=info.channels,
            codec=info.codec,
        )


def decode(
    source: Source,
    *,
    sample_rate: int = SAMPLE_RATE,
    channels: int = 1,
    chunk_seconds: float = 0.1,
) -> Decoding:
    """Return an iterator over a recording as s16le of the given rate and channels (1 or 2).

    Each piece lasts `chunk_seconds`, the last one at most that. The file is read as the pieces are
    consumed, so memory does not grow with its length. The iteration raises:

        NotAudio: the format is unknown, or the file holds no audio.
        CorruptAudio: the audio after the yielded pieces cannot be decoded, or has a rate, channels
            or a length that is impossible for its size.
        OSError: the file cannot be read.
    """
    return Decoding(source, PcmFormat(sample_rate, channels), chunk_seconds)


class Decoding(Iterator[bytes]):
    """The decoding of one recording.

    Attributes:
        track: the decoded track, of how many; None before the first piece.
        missing: seconds that the headers announce and the file lacks; complete at the end.
    """

    def __init__(self, source: Source, wanted: PcmFormat, chunk_seconds: float) -> None:
        self.track: AudioTrack | None = None
        self.missing = 0.0
        self._source = source
        self._converter = Converter(wanted)
        self._size = max(1, round(chunk_seconds * wanted.sample_rate)) * wanted.bytes_per_frame
        #: Bytes read of the audio track.
        self._read = 0
        self._pieces = self._split()

    def __next__(self) -> bytes:
        """Return the next piece; `decode` lists the errors."""
        return next(self._pieces)

    def close(self) -> None:
        """Close the file if it was not read to its end."""
        self._pieces.close()

    def _split(self) -> Generator[bytes, None, None]:
        pending = bytearray()
        try:
            for pcm in self._convert():
                pending += pcm
                while len(pending) >= self._size:
                    yield bytes(pending[: self._size])
                    del pending[: self._size]
        except DecodeError:
            if pending:  # the audio before the error is good
                yield bytes(pending)
            raise
        if pending:
            yield bytes(pending)

    def _convert(self) -> Iterator[bytes]:
        """Yield the recording in the requested format, in pieces of any length."""
        with _open(self._source) as file:
            position = 0.0
            for part in _find_parts(file):
                try:
                    with open_part(file, part) as recording:
                        track = self._choose_track(file, part, recording)
                        clock = Clock(position, position)
                        yield from self._convert_part(recording, track, clock)
                        self.missing += _measure_missing(
                            recording, track, clock.position - position
                        )
                        position = clock.position
                        if recording.is_cut:
                            raise CorruptAudio("it has more audio than its header announces")
                except NotAudio as error:
                    if self.track is None:
                        raise
                    raise CorruptAudio(f"a file that was joined to it: {error}") from error
            yield from self._converter.flush()

    def _choose_track(self, file: BinaryIO, part: Part | None, recording: OpenPart) -> AudioStream:
        """Choose the track to decode, and record it in `track`."""
        number = 1 + list(recording.container.streams.audio).index(recording.tracks[0])
        if len(recording.tracks) > 1 and part is not None:
            with open_part(file, part) as other:
                number = tracks.choose(tracks.inspect(other))
        if self.track is None:
            self.track = AudioTrack(number=number, count=recording.count)
        return recording.container.streams.audio[number - 1]

    def _convert_part(
        self, recording: OpenPart, track: AudioStream, clock: Clock
    ) -> Iterator[bytes]:
        for frame, size in decode_frames(recording, track):
            samples = to_samples(frame)
            self._read += size
            time = None if frame.time is None else frame.time - recording.zero
            gap = clock.gap(time)
            clock.advance(len(samples) / frame.sample_rate)
            if clock.position > _FREE_SECONDS + self._read / _LEAST_BYTES_PER_SECOND:
                raise CorruptAudio("its length is impossible for its size")
            if gap:
                yield from self._converter.silence(gap)
            yield from self._converter.process(samples, frame.sample_rate)


def _read_duration(recording: OpenPart, track: AudioStream) -> float | None:
    if track.duration is not None and track.time_base is not None:
        return float(track.duration * track.time_base)
    if recording.container.duration is not None:
        return recording.container.duration / av.time_base
    return None


def _measure_missing(recording: OpenPart, track: AudioStream, decoded: float) -> float:
    """Return the seconds that an exact header announces and the file lacks."""
    container = recording.container
    announced = _read_duration(recording, track)
    if announced is None or container.format.name not in _EXACT:
        return 0.0
    if track.duration is None:  # `announced` is the container's
        if len(container.streams) > 1:
            return 0.0  # the picture may last longer than the sound
        announced -= recording.zero
    missing = announced - decoded
    return missing if missing > max(_LEAST_MISSING, _LEAST_SHARE_MISSING * announced) else 0.0


def _sum_durations(file: BinaryIO, found: list[Part | None]) -> float | None:
    """Return the total seconds of joined recordings; None where one does not say."""
    total = 0.0
    if len(found) > _PROBED_PARTS:
        return None
    for part in found:
        try:
            with open_part(file, part) as recording:
                duration = _read_duration(recording, recording.tracks[0])
        except DecodeError:
            return None
        if duration is None:
            return None
        total += duration
    return total


def _find_parts(file: BinaryIO) -> list[Part | None]:
    """Return the recordings in a file; [None] for a file that cannot seek."""
    if not file.seekable():
        return [None]
    size = file.seek(0, os.SEEK_END)
    return list(find_parts(file, size))


@contextlib.contextmanager
def _open(source: Source) -> Iterator[BinaryIO]:
    """Open a recording. FFmpeg does not get its name, which it could read as a URL."""
    if isinstance(source, str | PathLike):
        with Path(source).open("rb") as file:
            yield file
    else:
        yield source
