"""The audio of a recording for transcribers, or the reason why there can be no transcript.

What decodes is imported when a recording is read: whoever only chooses a transcriber, such as the
launcher of the demo, would wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from speech.pcm import BYTES_PER_SECOND, SAMPLE_RATE
from speech.transcribers.base import Progress
from speech.transcribers.errors import BadRecording
from transcripts.documents import AudioTrack, FailureCode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Audio:
    """The audio of one recording. `pieces` and `samples` each read it from its start.

    Args:
        path: path of the recording, in any format.
        max_seconds: the longest length that is accepted.

    Attributes:
        track: the audio track that is read; None before the first piece.
        missing: seconds that the header announces and the file lacks; None if it is complete.
    """

    def __init__(self, path: Path, *, max_seconds: float) -> None:
        self.track: AudioTrack | None = None
        self.missing: float | None = None
        self._path = path
        self._max_seconds = max_seconds
        self._checked = False

    def check(self, progress: Progress) -> None:
        """Decode the whole recording without keeping it, to find defects before the recognition.

        Each hour of audio takes seconds.

        Raises:
            BadRecording: as `pieces`.
        """
        self._checked = True
        for _ in self.pieces(seconds=30.0):
            progress(0.0)

    def pieces(self, seconds: float = 1.0) -> Iterator[bytes]:
        """Yield the recording as PCM (16 kHz, mono, s16le) in pieces of `seconds`.

        Raises:
            BadRecording: the recording is empty, no audio, damaged or too long.
        """
        from speech.decode import CorruptAudio, NotAudio, decode  # noqa: PLC0415 - see above

        if self._path.stat().st_size == 0:
            raise BadRecording(FailureCode.EMPTY, "The file is empty.")
        self._check_length()
        length = 0
        decoding = decode(self._path, chunk_seconds=seconds)
        try:
            for piece in decoding:
                self.track = decoding.track
                length += len(piece)
                if length > self._max_seconds * BYTES_PER_SECOND:
                    raise self._too_long()
                yield piece
        except NotAudio:
            raise BadRecording(
                FailureCode.NOT_AUDIO, "The file is of no known audio format, or holds no audio."
            ) from None
        except CorruptAudio:
            raise BadRecording(
                FailureCode.CORRUPT_AUDIO,
                f"After {length / BYTES_PER_SECOND:.1f} seconds the audio cannot be decoded any "
                "further; repair or convert the file.",
            ) from None
        if length == 0:
            raise BadRecording(FailureCode.EMPTY, "The file holds no sound.")
        self.missing = round(decoding.missing, 3) or None
        self._checked = True  # a second reading need not measure it again

    def _check_length(self) -> None:
        """Reject a recording that is too long before hours of it are recognised while others wait.

        A header with a greater length may be wrong, and a browser's has none. In both cases the
        recording is decoded once to measure it.

        Raises:
            BadRecording: the recording is too long.
        """
        from speech.decode import DecodeError, decode, probe  # noqa: PLC0415 - see above

        if self._checked:
            return
        length = 0
        try:
            announced = probe(self._path).duration
            if announced is not None and announced <= self._max_seconds:
                return
            for piece in decode(self._path, chunk_seconds=60.0):
                length += len(piece)
                if length > self._max_seconds * BYTES_PER_SECOND:
                    raise self._too_long()
        except DecodeError:
            return  # the reading itself reports the defect

    def _too_long(self) -> BadRecording:
        return BadRecording(
            FailureCode.TOO_LONG,
            f"The recording is longer than {self._max_seconds:g} seconds; cut it into parts.",
        )

    def samples(self, progress: Progress) -> NDArray[np.float32]:
        """Return the recording as samples from -1 to 1: 16 kHz, mono, shape (samples,).

        Each hour takes 230 MB, and temporarily half as much again.

        Raises:
            BadRecording: as `pieces`.
        """
        import numpy as np  # noqa: PLC0415 - see above

        pcm = bytearray()
        for piece in self.pieces(seconds=30.0):
            pcm += piece
            progress(0.0)
        return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)


def duration(audio: NDArray[np.float32]) -> float:
    """Return the length in seconds."""
    return len(audio) / SAMPLE_RATE
