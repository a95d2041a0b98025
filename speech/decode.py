"""Reading recordings of any format into PCM, a piece at a time.

Everybody in a recording is heard, at the right time: all channels of the right track are mixed,
gaps of the container's clock become silence, and files that were joined are read one after the
other. Whatever is wrong with a file is a `DecodeError`; a disk that fails, a file that does not
exist or may not be read raise `OSError` as everywhere.
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
from speech.decoding.container import Opened, frames, opened
from speech.decoding.errors import CorruptAudio, DecodeError, NotAudio
from speech.decoding.parts import Part, parts
from speech.decoding.samples import Converter, samples_of
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

#: A path, or a binary file that is open for reading. Some formats (m4a), joined files and a choice
#: of tracks need one that can seek.
Source = str | PathLike[str] | BinaryIO

#: A recording may last so long whatever its size, seconds; that includes gaps.
_FREE_SECONDS: Final = 3600.0
#: Beyond that each second takes at least so many bytes. The slowest speech codecs take 50 and more.
_LEAST_BYTES_PER_SECOND: Final = 2.0
#: Parts of a joined file whose headers are read to say how long all of it is.
_PROBED_PARTS: Final = 100
#: Formats whose headers know how long a recording is; of others FFmpeg estimates it.
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
#: What is less is rounding, padding and pauses at the end: seconds, and of what is announced.
_LEAST_MISSING: Final = 1.0
_LEAST_SHARE_MISSING: Final = 0.05


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a recording says about itself."""

    #: Seconds; None where the file does not say, as with what browsers record.
    duration: float | None
    #: Hz.
    sample_rate: int
    channels: int
    #: FFmpeg's name, such as `opus`.
    codec: str


def probe(source: Source) -> AudioInfo:
    """Return what the header of a recording says.

    Raises:
        NotAudio: the file is of no known format, or holds no audio.
        OSError: the file cannot be read.
    """
    with _file(source) as file:
        found = _parts(file)
        with opened(file, found[0]) as first:
            track = first.tracks[0]
            info = AudioInfo(
                duration=_duration(first, track),
                sample_rate=track.codec_context.sample_rate,
                channels=track.codec_context.channels,
                codec=track.codec_context.name,
            )
        if len(found) == 1:
            return info
        return AudioInfo(
            duration=_total(file, found),
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

    Each piece lasts `chunk_seconds`, the last one at most that. The file is read as the pieces
    are taken, so memory does not grow with its length. Iterating raises:

        NotAudio: the file is of no known format, or holds no audio.
        CorruptAudio: what was yielded is good, but what follows cannot be decoded, or has a rate,
            channels or a length that no recording of its size has.
        OSError: the file cannot be read.
    """
    return Decoding(source, PcmFormat(sample_rate, channels), chunk_seconds)


class Decoding(Iterator[bytes]):
    """A recording that is being decoded.

    Attributes:
        track: what is decoded, of how many; None before the first piece.
        missing: how much less there was than the headers announce, seconds; known at the end.
    """

    def __init__(self, source: Source, wanted: PcmFormat, chunk_seconds: float) -> None:
        self.track: AudioTrack | None = None
        self.missing = 0.0
        self._source = source
        self._converter = Converter(wanted)
        self._size = max(1, round(chunk_seconds * wanted.sample_rate)) * wanted.bytes_per_frame
        #: Bytes of the audio track that were read.
        self._read = 0
        self._pieces = self._cut()

    def __next__(self) -> bytes:
        """Return the next piece; see `decode` for what is raised."""
        return next(self._pieces)

    def close(self) -> None:
        """Close the file, if it is not read to its end."""
        self._pieces.close()

    def _cut(self) -> Generator[bytes, None, None]:
        pending = bytearray()
        try:
            for pcm in self._converted():
                pending += pcm
                while len(pending) >= self._size:
                    yield bytes(pending[: self._size])
                    del pending[: self._size]
        except DecodeError:
            if pending:  # what was decoded before is good
                yield bytes(pending)
            raise
        if pending:
            yield bytes(pending)

    def _converted(self) -> Iterator[bytes]:
        """Yield the recording in the wanted format, in pieces of any length."""
        with _file(self._source) as file:
            position = 0.0
            for part in _parts(file):
                try:
                    with opened(file, part) as recording:
                        track = self._track(file, part, recording)
                        clock = Clock(position, position)
                        yield from self._part(recording, track, clock)
                        self.missing += _missing(recording, track, clock.position - position)
                        position = clock.position
                        if recording.is_cut:
                            raise CorruptAudio("it goes on after its header says that it ends")
                except NotAudio as error:
                    if self.track is None:
                        raise
                    raise CorruptAudio(f"a file that was joined to it: {error}") from error
            yield from self._converter.flush()

    def _track(self, file: BinaryIO, part: Part | None, recording: Opened) -> AudioStream:
        """Return the track to decode; note which it is."""
        number = 1 + list(recording.container.streams.audio).index(recording.tracks[0])
        if len(recording.tracks) > 1 and part is not None:
            with opened(file, part) as other:
                number = tracks.choose(tracks.look(other))
        if self.track is None:
            self.track = AudioTrack(number=number, count=recording.count)
        return recording.container.streams.audio[number - 1]

    def _part(self, recording: Opened, track: AudioStream, clock: Clock) -> Iterator[bytes]:
        for frame, size in frames(recording, track):
            samples = samples_of(frame)
            self._read += size
            time = None if frame.time is None else frame.time - recording.zero
            gap = clock.gap(time)
            clock.advance(len(samples) / frame.sample_rate)
            if clock.position > _FREE_SECONDS + self._read / _LEAST_BYTES_PER_SECOND:
                raise CorruptAudio("it would last longer than so few bytes can")
            if gap:
                yield from self._converter.silence(gap)
            yield from self._converter.process(samples, frame.sample_rate)


def _duration(recording: Opened, track: AudioStream) -> float | None:
    if track.duration is not None and track.time_base is not None:
        return float(track.duration * track.time_base)
    if recording.container.duration is not None:
        return recording.container.duration / av.time_base
    return None


def _missing(recording: Opened, track: AudioStream, decoded: float) -> float:
    """Return how much less there was than a header announces that does not estimate, seconds."""
    container = recording.container
    announced = _duration(recording, track)
    if announced is None or container.format.name not in _EXACT:
        return 0.0
    if track.duration is None:  # then it is the container's
        if len(container.streams) > 1:
            return 0.0  # a picture may go on after the sound
        announced -= recording.zero
    missing = announced - decoded
    return missing if missing > max(_LEAST_MISSING, _LEAST_SHARE_MISSING * announced) else 0.0


def _total(file: BinaryIO, found: list[Part | None]) -> float | None:
    """Return how long joined recordings are together, seconds; None where one does not say."""
    total = 0.0
    if len(found) > _PROBED_PARTS:
        return None
    for part in found:
        try:
            with opened(file, part) as recording:
                duration = _duration(recording, recording.tracks[0])
        except DecodeError:
            return None
        if duration is None:
            return None
        total += duration
    return total


def _parts(file: BinaryIO) -> list[Part | None]:
    """Return the recordings in a file; None stands for all of one that cannot seek."""
    if not file.seekable():
        return [None]
    size = file.seek(0, os.SEEK_END)
    return list(parts(file, size))


@contextlib.contextmanager
def _file(source: Source) -> Iterator[BinaryIO]:
    """Open a recording. FFmpeg never gets its name, which it could take for a URL."""
    if isinstance(source, str | PathLike):
        with Path(source).open("rb") as file:
            yield file
    else:
        yield source
