"""Whisper by faster-whisper: on a CPU, or on a GPU without WhisperX's packages.

It takes a CTranslate2 model: a folder with `model.bin` and `tokenizer.json`, or a name that is
looked for in the Hugging Face hub. Word times come from the decoder's attention; speakers are not
told apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speech.transcribers import whisper
from speech.transcribers.audio import Audio, duration
from speech.transcribers.base import Progress, Transcription, TranscriptionOptions
from speech.transcribers.errors import OptionUnavailable, TranscriberUnavailable
from speech.transcribers.whisper import Whisper, WhisperSettings


class FasterWhisper(Whisper):
    """See the module. A batch of 1 decodes one stretch after the other, each with its context.

    Args:
        settings: of the model.
        voice_filter: leave out what is no voice before it is decoded.
    """

    def __init__(self, settings: WhisperSettings, *, voice_filter: bool = True) -> None:
        super().__init__("faster-whisper", settings)
        self._voice_filter = voice_filter
        self._whisper: Any = None

    def load(self) -> None:
        """Load the model; see the port."""
        try:
            from faster_whisper import BatchedInferencePipeline, WhisperModel  # noqa: PLC0415 - seconds
        except ImportError as error:
            raise TranscriberUnavailable(f"faster-whisper is not installed: {error}") from None
        self._whisper = self._load_model(
            lambda source, device, compute_type: WhisperModel(
                source, device=device, compute_type=compute_type
            )
        )
        whisper.check_language(self._settings.language, self._whisper.supported_languages)
        self._pipeline = (
            BatchedInferencePipeline(self._whisper) if self._batch_size > 1 else self._whisper
        )
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
            raise OptionUnavailable("faster-whisper does not tell speakers apart; WhisperX does")
        asked = options.language or self._settings.language
        language = asked and whisper.code(asked, self._whisper.supported_languages)
        recording = Audio(path, max_seconds=options.max_seconds)
        audio = recording.samples(progress)
        length = duration(audio)
        batched = {"batch_size": self._batch_size} if self._batch_size > 1 else {}
        found, about = self._pipeline.transcribe(
            audio,
            language=language,
            word_timestamps=True,
            vad_filter=self._voice_filter,
            condition_on_previous_text=False,  # else a loop, once begun, does not end
            without_timestamps=False,
            **batched,
        )
        segments = []
        for each in found:  # decoded as it is asked for
            progress(min(each.end, length))
            segment = whisper.segment(
                each.text,
                each.start,
                each.end,
                (
                    whisper.word(w.word, w.start, w.end, w.probability, duration=length)
                    for w in each.words or ()
                ),
                duration=length,
            )
            if segment is not None:
                segments.append(segment)
        return Transcription(
            duration=length,
            language=whisper.tag(asked, about.language, said=bool(segments)),
            engine=self.engine,
            audio_track=recording.track,
            missing=recording.missing,
            segments=tuple(segments),
        )
