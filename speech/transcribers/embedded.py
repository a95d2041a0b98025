"""The embedded engine for recordings: pocketsphinx, US English, without further requirements.

It is for demonstrations; `speech.engines.pocketsphinx` has its figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from speech.engines.base import RecognitionOptions, Result
from speech.engines.blocking import Event
from speech.pcm import BYTES_PER_SECOND
from speech.transcribers.audio import Audio
from speech.transcribers.base import Progress, Transcriber, Transcription, TranscriptionOptions
from speech.transcribers.errors import BadRecording, OptionUnavailable, TranscriberUnavailable
from transcripts.documents import FailureCode, Segment

if TYPE_CHECKING:
    from speech.engines.pocketsphinx_model import PocketsphinxModel

LANGUAGE: Final = "en-US"
#: The languages that may be requested.
LANGUAGES: Final = (None, "en", LANGUAGE)


class Embedded(Transcriber):
    """Transcribes US English by running the streaming recogniser over a file."""

    engine = "pocketsphinx en-US"
    model = "en-US"
    light = True

    def __init__(self) -> None:
        self._model: PocketsphinxModel | None = None

    def load(self) -> None:
        """Load the model; see the port."""
        try:
            from speech.engines.pocketsphinx_model import load  # noqa: PLC0415 - holds a model
        except ImportError as error:
            raise TranscriberUnavailable(f"the embedded engine is not installed: {error}") from None
        # No partials: nobody sees them, and each costs a search of the lattice.
        self._model = load(partial_interval=float("inf"))

    def transcribe(
        self, path: Path, options: TranscriptionOptions, progress: Progress
    ) -> Transcription:
        """Transcribe a recording; see the port."""
        if self._model is None:
            raise TranscriberUnavailable("the model is not loaded")
        if options.language not in LANGUAGES:
            raise BadRecording(
                FailureCode.UNSUPPORTED_LANGUAGE,
                f"The embedded engine knows {LANGUAGE}, not {options.language}.",
            )
        if options.diarize:
            raise OptionUnavailable("the embedded engine does not tell speakers apart")
        recogniser = self._model.open(RecognitionOptions(language=LANGUAGE))
        segments: list[Segment] = []
        audio = Audio(path, max_seconds=options.max_seconds)
        length = 0
        try:
            for piece in audio.pieces():
                segments += _to_segments(recogniser.accept(piece))
                length += len(piece)
                progress(length / BYTES_PER_SECOND)
        finally:  # also for a cancelled job, whose utterance is open in the only decoder
            segments += _to_segments(recogniser.finish())
        return Transcription(
            duration=length / BYTES_PER_SECOND,
            language=LANGUAGE,
            engine=self.engine,
            audio_track=audio.track,
            missing=audio.missing,
            segments=tuple(segments),
        )

    def check(self) -> None:
        """Decode a second of silence; see the port."""
        if self._model is None:
            raise TranscriberUnavailable("the model is not loaded")
        self._model.check()


def _to_segments(events: Iterable[Event]) -> list[Segment]:
    return [
        Segment(start_time=event.start, end_time=event.end, text=event.text, words=event.words)
        for event in events
        if isinstance(event, Result) and event.is_final and event.text
    ]
