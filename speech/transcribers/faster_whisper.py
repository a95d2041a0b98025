"""Whisper by faster-whisper: on a CPU, or on a GPU without WhisperX's packages.

It takes a CTranslate2 model: a folder with `model.bin` and `tokenizer.json`, or a name in the
Hugging Face hub. The module `sequential` feeds it a recording piece by piece. It does not
distinguish speakers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speech.transcribers import whisper
from speech.transcribers.audio import Audio
from speech.transcribers.base import Progress, Transcription, TranscriptionOptions
from speech.transcribers.errors import OptionUnavailable, TranscriberUnavailable
from speech.transcribers.sequential import recognise
from speech.transcribers.whisper import Whisper, WhisperSettings


class FasterWhisper(Whisper):
    """Transcribes with faster-whisper; see the module."""

    def __init__(self, settings: WhisperSettings) -> None:
        super().__init__("faster-whisper", settings)
        self._whisper: Any = None

    def load(self) -> None:
        """Load the model; see the port."""
        try:
            from faster_whisper import WhisperModel  # noqa: PLC0415 - seconds
        except ImportError as error:
            raise TranscriberUnavailable(f"faster-whisper is not installed: {error}") from None
        self._whisper = self._load_model(
            lambda source, device, compute_type: WhisperModel(
                source, device=device, compute_type=compute_type
            )
        )
        whisper.check_language(self._settings.language, self._whisper.supported_languages)
        self.check()

    def check(self) -> None:
        """Encode a second of silence; see the port."""
        whisper.encode_silence(self._whisper)

    def transcribe(
        self, path: Path, options: TranscriptionOptions, progress: Progress
    ) -> Transcription:
        """Transcribe a recording; see the port."""
        if self._whisper is None:
            raise TranscriberUnavailable("the model is not loaded")
        if options.diarize:
            raise OptionUnavailable("faster-whisper does not label speakers; WhisperX does")
        asked = options.language or self._settings.language
        language = asked and whisper.to_whisper_code(asked, self._whisper.supported_languages)
        recording = Audio(path, max_seconds=options.max_seconds)
        recording.check(progress)
        found = recognise(
            self._whisper,
            recording.pieces(seconds=30.0),
            language=language,
            progress=progress,
        )
        return Transcription(
            duration=found.duration,
            language=whisper.to_language_tag(asked, found.language),
            engine=self.engine,
            audio_track=recording.track,
            missing=recording.missing,
            segments=found.segments,
        )
