"""The port behind which recordings become text.

A `Transcriber` is loaded once and then takes one recording after the other. It blocks, it may hold
the interpreter's lock for seconds, and native code under it may crash. So it lives in a process of
its own (`speech.transcribers.process`), and knows nothing of that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transcripts.documents import AudioTrack, Segment

#: The language of a recording in which nothing was said (BCP 47, "undetermined").
UNDETERMINED: Final = "und"

#: Told now and then how many seconds of audio are done. Raises `Stopped` when the job is called
#: off, so nothing between two calls may take longer than people like to wait.
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionOptions:
    """What is asked of a transcription."""

    #: BCP 47; None leaves it to the transcriber, which detects it where it can.
    language: str | None = None
    #: Tell speakers apart; None: where that is set up.
    diarize: bool | None = None
    #: Audio beyond this is refused, seconds.
    max_seconds: float = 4 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """What was said in a recording. Times are seconds from its start."""

    #: Of the audio as it was decoded.
    duration: float
    #: BCP 47.
    language: str
    #: Who recognised it, e.g. `faster-whisper large-v3`.
    engine: str
    audio_track: AudioTrack | None = None
    #: How much less there was than the file announces, seconds.
    missing: float | None = None
    segments: tuple[Segment, ...] = ()

    @property
    def text(self) -> str:
        """All of it, a segment to a line."""
        return "\n".join(segment.text for segment in self.segments)


class Transcriber(ABC):
    """A way to transcribe recordings.

    Attributes:
        engine: who recognises, e.g. `faster-whisper large-v3`.
        model: name of the model.
        device: what it computes on, `cpu` or `cuda`; true after `load`.
        light: whether any machine has the memory for one more of it.
    """

    engine: str
    model: str
    device: str = "cpu"
    light: bool = False

    @abstractmethod
    def load(self) -> None:
        """Load the model and compute something with it, so that the first job is no slower.

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
            BadRecording: no transcript can be made of it.
            OptionUnavailable: what was asked for cannot be had.
            Stopped: `progress` said so.
        """

    @abstractmethod
    def check(self) -> None:
        """Compute something small with the loaded model, and raise anything if that fails.

        Called after `transcribe` has raised what it should not have: one that passes keeps its
        process, and the next recording need not wait for the model to be loaded again.
        """
