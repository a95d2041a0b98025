"""Whisper by WhisperX: batches on a GPU, words aligned to the audio, speaker labels.

It uses three models: Whisper itself (any that faster-whisper takes), one for the alignment of each
language (wav2vec2, from a hub or its cache), and pyannote's for speakers, for which the hub
requires the token of a user who has accepted its terms. Only the first is indispensable. WhisperX
returns stretches of half a minute, with times within them by alignment alone. So a recording that
cannot be aligned is decoded by faster-whisper (`sequential`) on the same model: slower, with word
times.

Written against WhisperX 3.8.6. Its warnings quote the recording; `speech.transcribers.child` drops
the logs of libraries.
"""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

from speech.transcribers import whisper
from speech.transcribers.audio import Audio, duration
from speech.transcribers.base import Progress, Transcription, TranscriptionOptions
from speech.transcribers.errors import (
    BadRecording,
    OptionUnavailable,
    TranscriberUnavailable,
    TranscriptionFailed,
)
from speech.transcribers.memory import Batches, batch_size, is_out_of_memory
from speech.transcribers.sequential import Recognised, recognise
from speech.transcribers.whisper import Alignment, Whisper, WhisperSettings
from transcripts.documents import FailureCode, Segment

#: The timeout of connections that fetch an alignment model, seconds.
CONNECTION_SECONDS: Final = 10.0
#: The time after which a missing alignment model is tried again.
RETRY_SECONDS: Final = 900.0

log = structlog.get_logger(__name__)


class WhisperX(Whisper):
    """Transcribes with WhisperX; see the module.

    The alignment model of the configured language is loaded in advance.

    Args:
        settings: the settings of the model.
        alignment: whether words are aligned.
        alignment_model: name or folder of an alignment model in place of the language's.
        token: token of the Hugging Face hub, which enables speaker labels.
        may_fetch: whether missing models may be fetched.
    """

    def __init__(
        self,
        settings: WhisperSettings,
        *,
        alignment: Alignment = "auto",
        alignment_model: str | None = None,
        token: str | None = None,
        may_fetch: bool = True,
    ) -> None:
        super().__init__("whisperx", settings)
        self._may_fetch = may_fetch
        self._alignment = alignment
        self._alignment_model = alignment_model
        self._token = token
        self._whisperx: Any = None
        self._pipeline: Any = None
        self._diarization: Any = None
        self._batches = Batches(1, self.device, _release)
        #: By language.
        self._aligners: dict[str, Any] = {}
        #: Languages without an alignment model, and when to try again (monotonic).
        self._no_aligners: dict[str, float] = {}

    def load(self) -> None:
        """Load Whisper and the other configured models; see the port."""
        warnings.simplefilter("ignore")  # of torch and pyannote, about each other
        try:
            import whisperx  # noqa: PLC0415 - takes many seconds
        except ImportError as error:
            raise TranscriberUnavailable(f"WhisperX is not installed: {error}") from None
        self._whisperx = whisperx
        self._pipeline = self._load_model(
            lambda source, device, compute_type: whisperx.load_model(
                source,
                device,
                compute_type=compute_type,
                vad_method="pyannote",  # its model comes with the package
            )
        )
        language = self._settings.language
        whisper.check_language(language, self._known)
        if language is not None and self._alignment != "never":
            self._aligner(whisper.to_whisper_code(language, self._known))
        if self._token is not None:
            self._diarization = self._load_diarization(self._token)
        self._set_batches(whisper.encode_silence(self._pipeline.model))

    def transcribe(
        self, path: Path, options: TranscriptionOptions, progress: Progress
    ) -> Transcription:
        """Transcribe a recording; see the port."""
        if self._pipeline is None:
            raise TranscriberUnavailable("the model is not loaded")
        if options.diarize and self._diarization is None:
            raise OptionUnavailable(
                "speakers cannot be labelled: no HF_TOKEN is set, see docs/gpu-server.md"
            )
        asked = options.language or self._settings.language
        language = whisper.to_whisper_code(asked, self._known) if asked else None
        if not self._pipeline.model.model.is_multilingual:
            language = "en"  # which it cannot detect
        recording = Audio(path, max_seconds=options.max_seconds)
        audio = recording.samples(progress)
        length = duration(audio)

        def share(first: float, last: float) -> Any:
            return lambda percent: progress(length * (first + (last - first) * percent / 100))

        result = self._in_batches(audio, language, share)
        if result is None:
            result = _to_whisperx_result(
                recognise(
                    self._pipeline.model,
                    recording.pieces(seconds=30.0),
                    language=language,
                    progress=progress,
                )
            )
        used = result["language"]
        if result["segments"] and self._diarization is not None and options.diarize is not False:
            speakers = self._diarization(audio, progress_callback=share(0.8, 1.0))
            result = self._whisperx.assign_word_speakers(speakers, result)
        segments = to_segments(result, length)
        return Transcription(
            duration=length,
            language=whisper.to_language_tag(asked, used if segments else None),
            engine=self.engine,
            audio_track=recording.track,
            missing=recording.missing,
            segments=segments,
        )

    def _in_batches(self, audio: Any, language: str | None, share: Any) -> Any:
        """Return WhisperX's aligned result; None where alignment is neither possible nor required.

        Raises:
            BadRecording: alignment is required, and the language has no model.
            TranscriptionFailed: alignment is required, and is not possible now.
        """
        if self._alignment == "never":
            return None
        language = language or self._pipeline.detect_language(audio)
        if self._alignment == "auto" and self._aligner(language) is None:
            return None
        result = self._pipeline.transcribe(
            audio,
            batch_size=self._batches.size,
            language=language,
            progress_callback=share(0, 0.6),
        )
        self._batches.finished()
        if not result["segments"]:
            return result
        aligned = self._aligned(result, language, audio, share(0.6, 0.8))
        return aligned and {**aligned, "language": language}

    def _set_batches(self, width: int) -> None:
        """Choose the size of batches, and let it shrink when memory runs out."""
        wanted = self._settings.batch_size
        if wanted is None:  # larger batches help a GPU only
            wanted = batch_size(_free_memory(), width) if self.device == "cuda" else 1
        self._batches = Batches(wanted, self.device, _release)
        model = self._pipeline.model
        decode = model.generate_segment_batched

        def in_parts(features: Any, *arguments: Any, **named: Any) -> Any:
            return self._batches.decode(features, lambda part: decode(part, *arguments, **named))

        model.generate_segment_batched = in_parts
        log.info("batch_size", stretches=wanted)

    @property
    def _known(self) -> list[str]:
        known: list[str] = self._pipeline.model.supported_languages
        return known

    def check(self) -> None:
        """Encode a second of silence; see the port."""
        whisper.encode_silence(self._pipeline.model)

    def _aligned(self, result: Any, language: str, audio: Any, progress: Any) -> Any:
        """Return the result with words; None where alignment is neither possible nor required."""
        model, metadata = self._aligner(language)
        try:
            return self._whisperx.align(
                result["segments"], model, metadata, audio, self.device, progress_callback=progress
            )
        except LookupError as error:  # NLTK's, of its data about where sentences end
            self._cannot_align(language, error)
            return None

    def _aligner(self, language: str) -> Any:
        """Return model and metadata for a language; None if there is none and none is required.

        Raises:
            BadRecording, TranscriptionFailed: there is none, and one is required.
        """
        if language not in self._aligners:
            if time.monotonic() < self._no_aligners.get(language, 0.0):
                return None
            try:
                with _short_connections():
                    self._aligners[language] = self._whisperx.load_align_model(
                        language, self.device, model_name=self._alignment_model
                    )
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                self._cannot_align(language, error)  # whatever a hub, a cache or torch may raise
                return None
        return self._aligners[language]

    def _cannot_align(self, language: str, error: Exception) -> None:
        """Suspend the alignment of a language for `RETRY_SECONDS`.

        Raises:
            BadRecording: alignment is required, and no model can be fetched.
            TranscriptionFailed: alignment is required, and another attempt may help.
        """
        if self._alignment == "always":
            missing = isinstance(error, ValueError | OSError)
            if not missing or (self._may_fetch and "No default" not in str(error)):
                raise TranscriptionFailed(
                    f"ALIGNMENT is always, and what words in {language} are aligned by cannot be "
                    f"had now ({type(error).__name__})"
                ) from error
            raise BadRecording(
                FailureCode.UNSUPPORTED_LANGUAGE,
                f"ALIGNMENT is always on this server, and it has no model to align words in "
                f"{language}. When it has one, upload the recording again with --force.",
            ) from error
        log.warning("no_alignment_model", language=language, error=type(error).__name__)
        self._aligners.pop(language, None)
        self._no_aligners[language] = time.monotonic() + RETRY_SECONDS

    def _load_diarization(self, token: str) -> Any:
        from whisperx.diarize import DiarizationPipeline  # noqa: PLC0415 - only with a token

        try:
            return DiarizationPipeline(token=token, device=self.device)
        except Exception as error:
            raise TranscriberUnavailable(
                "HF_TOKEN is set, but the model that tells speakers apart cannot be loaded: "
                f"{type(error).__name__}. Its terms have to be accepted once, see "
                "docs/gpu-server.md."
            ) from error


def _free_memory() -> int | None:
    """Return the free memory of the GPU in bytes; None if that is unknown."""
    import torch  # noqa: PLC0415 - takes seconds; WhisperX has loaded it

    try:
        free, _ = torch.cuda.mem_get_info()
    except (RuntimeError, AssertionError):  # the driver does not answer
        return None
    return int(free)


def _release() -> None:
    """Free the GPU memory that torch has cached, for CTranslate2."""
    import torch  # noqa: PLC0415 - as above

    torch.cuda.empty_cache()


def _to_whisperx_result(found: Recognised) -> dict[str, Any]:
    """Convert a result to the form of WhisperX's."""
    return {
        "language": found.language,
        "segments": [
            {
                "text": each.text,
                "start": each.start_time,
                "end": each.end_time,
                "words": [
                    {
                        "word": word.word,
                        "start": word.start_time,
                        "end": word.end_time,
                        "score": word.confidence,
                    }
                    for word in each.words
                ],
            }
            for each in found.segments
        ],
    }


@contextmanager
def _short_connections() -> Iterator[None]:
    """Set a timeout for the sockets of libraries that set none, such as torch's hub.

    Existing sockets are not changed.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECTION_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def to_segments(result: dict[str, Any], length: float) -> tuple[Segment, ...]:
    """Convert a result of WhisperX to segments.

    Args:
        result: the result of `transcribe`, `align` or `assign_word_speakers`. A word without times
            could not be aligned, such as a number for which the alignment model has no letters.
        length: the length of the recording, seconds.
    """
    segments = [
        whisper.make_segment(
            each["text"],
            each["start"],
            each["end"],
            (
                whisper.make_word(
                    word["word"],
                    word["start"],
                    word["end"],
                    word.get("score", 0.0),
                    duration=length,
                )
                for word in each.get("words", ())
                if "start" in word and "end" in word
            ),
            duration=length,
            speaker=each.get("speaker"),
        )
        for each in result["segments"]
    ]
    return tuple(segment for segment in segments if segment is not None)
