"""The port of every transcriber of recordings.

A `Transcriber` is loaded once and then transcribes one recording after the other. It blocks, it may
hold the interpreter's lock for seconds, and its native code may crash. So it runs in a process of
its own (`speech.transcribers.process`), of which it is independent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transcripts.documents import AudioTrack, Segment

#: The language of a recording without speech (BCP 47, "undetermined").
UNDETERMINED: Final = "und"

#: Called regularly with the seconds of audio that are done. It raises `Stopped` when the job was
#: cancelled, so the time between two calls bounds the wait for that.
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionOptions:
    """The options of a transcription."""

    #: BCP 47; None for the transcriber's own detection or default.
    language: str | None = None
    #: Whether to distinguish speakers; None does so where it is configured.
    diarize: bool | None = None
    #: The longest recording that is accepted, seconds.
    max_seconds: float = 4 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """The transcript of a recording. Times are seconds from its start."""

    #: Of the decoded audio, seconds.
    duration: float
    #: BCP 47.
    language: str
    #: The library and the model, e.g. `faster-whisper large-v3`.
    engine: str
    audio_track: AudioTrack | None = None
    #: Seconds that the header announces and the file lacks.
    missing: float | None = None
    segments: tuple[Segment, ...] = ()

    @property
    def text(self) -> str:
        """The whole text, a segment to a line."""
        return "\n".join(segment.text for segment in self.segments)


class Transcriber(ABC):
    """A transcriber of recordings.

    Attributes:
        engine: the library and the model, e.g. `faster-whisper large-v3`.
        model: the name of the model.
        device: the device that it uses, `cpu` or `cuda`; valid after `load`.
        light: whether every machine has the memory for another instance.
    """

    engine: str
    model: str
    device: str = "cpu"
    light: bool = False

    @abstractmethod
    def load(self) -> None:
        """Load the model and run it once, so that the first job is no slower than others.

        Raises:
            TranscriberUnavailable: a package, the model or the device is missing; the message
                says what to do.
        """

    @abstractmethod
    def transcribe(
        self, path: Path, options: TranscriptionOptions, progress: Progress
    ) -> Transcription:
        """Transcribe the recording in a file of any format.

        Raises:
            BadRecording: the recording can have no transcript.
            OptionUnavailable: a requested option is not available.
            Stopped: `progress` raised it.
        """

    @abstractmethod
    def check(self) -> None:
        """Run the loaded model on something small; raise any exception if that fails.

        Called after an unexpected exception of `transcribe`. A transcriber that passes keeps its
        process, so the next recording does not wait for the model to be loaded.
        """
