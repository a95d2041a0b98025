"""The embedded engines for recordings: Moonshine, or pocketsphinx where it is not installed.

English only, without further requirements. `docs/benchmarks.md` has their figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from speech.engines.base import RecognitionOptions, Result
from speech.engines.blocking import Event
from speech.engines.embedded import BEST, choose_embedded
from speech.engines.errors import EngineUnavailable
from speech.engines.names import EMBEDDED_LANGUAGES
from speech.pcm import BYTES_PER_SECOND
from speech.transcribers.audio import Audio
from speech.transcribers.base import Progress, Transcriber, Transcription, TranscriptionOptions
from speech.transcribers.errors import BadRecording, OptionUnavailable, TranscriberUnavailable
from transcripts.documents import FailureCode, Segment

if TYPE_CHECKING:
    from speech.engines.segmented import SegmentRecogniser


class _Model(Protocol):
    def open(self, options: RecognitionOptions) -> SegmentRecogniser: ...

    def check(self) -> None: ...


LANGUAGE: Final = "en-US"
#: Requests for English in general; the transcript has `LANGUAGE`.
_ANY_ENGLISH: Final = (None, "en")


def knows_language(language: str | None) -> bool:
    """Return whether the embedded engine of this machine transcribes a language; None: unknown."""
    return language in _ANY_ENGLISH or language in EMBEDDED_LANGUAGES[choose_embedded()]


class Embedded(Transcriber):
    """Transcribes English by running the streaming recogniser over a file."""

    light = True

    def __init__(self) -> None:
        self._is_moonshine = choose_embedded() == BEST
        self.engine = "moonshine tiny-en" if self._is_moonshine else "pocketsphinx en-US"
        self.model = "tiny-en" if self._is_moonshine else "en-US"
        self._model: _Model | None = None

    def load(self) -> None:
        """Load the model; see the port."""
        # No partials: nobody sees them, and each costs time.
        never = float("inf")
        try:
            if self._is_moonshine:
                from speech.engines.moonshine import recogniser  # noqa: PLC0415 - holds a model

                self._model = recogniser.load(partial_interval=never, segments=recogniser.RECORDED)
            else:
                from speech.engines import pocketsphinx_model  # noqa: PLC0415 - holds a model

                self._model = pocketsphinx_model.load(partial_interval=never)
        except (ImportError, EngineUnavailable) as error:
            raise TranscriberUnavailable(f"the embedded engine is not installed: {error}") from None

    def transcribe(
        self, path: Path, options: TranscriptionOptions, progress: Progress
    ) -> Transcription:
        """Transcribe a recording; see the port."""
        if self._model is None:
            raise TranscriberUnavailable("the model is not loaded")
        if not knows_language(options.language):
            known = ", ".join(sorted(EMBEDDED_LANGUAGES[choose_embedded()]))
            raise BadRecording(
                FailureCode.UNSUPPORTED_LANGUAGE,
                f"The embedded engine knows {known}, not {options.language}.",
            )
        if options.diarize:
            raise OptionUnavailable("the embedded engine does not tell speakers apart")
        language = LANGUAGE if options.language in _ANY_ENGLISH else options.language
        recogniser = self._model.open(RecognitionOptions(language=language))
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
            language=language,
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
