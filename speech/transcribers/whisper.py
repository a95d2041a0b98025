"""The parts that all Whisper transcribers share: settings, languages, devices, segments.

Whisper's language codes are those of ISO 639, mostly of two letters, with which BCP 47 tags begin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import structlog

from speech.transcribers import gpu
from speech.transcribers.base import UNDETERMINED, Transcriber
from speech.transcribers.errors import BadRecording, TranscriberUnavailable
from transcripts.documents import FailureCode, Segment
from transcripts.models import Word

M = TypeVar("M")

#: Whether WhisperX aligns words; `auto` aligns where the language has a model.
Alignment = Literal["auto", "always", "never"]

log = structlog.get_logger(__name__)

#: Tags with another code in Whisper: Filipino, Norwegian Bokmål, Mandarin, old Hebrew.
_OTHER_NAMES = {"fil": "tl", "nb": "no", "cmn": "zh", "iw": "he", "in": "id"}


@dataclass(frozen=True, slots=True)
class WhisperSettings:
    """The model, and how it runs."""

    #: Folder in CTranslate2's format, or name in the Hugging Face hub.
    model: str
    #: `cuda`, `cpu` or `auto`.
    device: str = "auto"
    #: CTranslate2's, e.g. `float16`; `default` suits the device.
    compute_type: str = "default"
    #: The most stretches of speech in a batch of WhisperX; None suits the device.
    batch_size: int | None = None
    #: The language of recordings without a requested one (BCP 47); None detects it.
    language: str | None = None


class Whisper(Transcriber):
    """The base of the Whisper transcribers."""

    def __init__(self, library: str, settings: WhisperSettings) -> None:
        """Name the engine after the library that runs the model, and the model."""
        self.model = Path(settings.model).name or settings.model
        self.engine = f"{library} {self.model}"
        self._settings = settings

    def _load_model(self, load: Callable[[str, str, str], M]) -> M:
        """Load the model by calling `load` with a source, a device and a compute type.

        Raises:
            TranscriberUnavailable: the model or the device is missing or unusable.
        """
        wanted = self._settings
        check_model_folder(wanted.model)
        self.device = choose_device(wanted.device)
        try:
            return load(
                wanted.model, self.device, choose_compute_type(wanted.compute_type, self.device)
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise TranscriberUnavailable(f"MODEL {self.model} cannot be loaded: {error}") from error


def to_whisper_code(language: str, known: Iterable[str]) -> str:
    """Convert a BCP 47 tag to Whisper's code.

    Raises:
        BadRecording: the model does not support the language.
    """
    primary = language.split("-", maxsplit=1)[0].lower()
    found = _OTHER_NAMES.get(primary, primary)
    if found not in known:
        raise BadRecording(
            FailureCode.UNSUPPORTED_LANGUAGE, f"The model does not know the language {language}."
        )
    return found


def to_language_tag(asked: str | None, found: str | None) -> str:
    """Return the language of a result as a BCP 47 tag: the requested one, else the detected one."""
    return asked or found or UNDETERMINED


def choose_device(wanted: str) -> str:
    """Choose `cuda` or `cpu` for the setting, which may be `auto`.

    Logs a GPU that exists and cannot be used, because the server is then slow.
    """
    if wanted != "auto":
        return wanted
    if gpu.count_gpus():
        return "cuda"
    found = gpu.inspect()
    if found.devices:
        log.warning("gpu_not_used", why=gpu.explain(found))
    return "cpu"


def choose_compute_type(wanted: str, on: str) -> str:
    """Choose the compute type: the setting, or a fast one on the device at next to no loss."""
    if wanted != "default":
        return wanted
    return "float16" if on == "cuda" else "int8"


def encode_silence(model: Any) -> int:
    """Run a model of faster-whisper or WhisperX on a second of silence.

    Returns:
        The width of the model.
    """
    import numpy as np  # noqa: PLC0415 - only where Whisper runs

    encoded = model.encode(model.feature_extractor(np.zeros(16_000, np.float32)))
    return int(encoded.shape[-1])


def check_language(language: str | None, known: Iterable[str]) -> None:
    """Check the language that is set for recordings without a requested one.

    Raises:
        TranscriberUnavailable: the model does not support it.
    """
    try:
        if language is not None:
            to_whisper_code(language, known)
    except BadRecording as error:
        raise TranscriberUnavailable(f"TRANSCRIBER_LANGUAGE: {error}") from None


def check_model_folder(model: str) -> None:
    """Check the files of a model that is given by its folder; a name needs no check.

    Raises:
        TranscriberUnavailable: a file is missing, which libraries would fetch from the Internet.
    """
    folder = Path(model)
    if not folder.is_dir():
        return
    for name in ("model.bin", "tokenizer.json"):
        if not (folder / name).is_file():
            raise TranscriberUnavailable(f"MODEL: there is no {name} in {folder}")


def make_word(
    text: str, start: float, end: float, confidence: float, *, duration: float
) -> Word | None:
    """Return a word within the recording; None for one without characters or times."""
    text = text.strip()
    if not text or not (math.isfinite(start) and math.isfinite(end)):
        return None
    begin = min(max(start, 0.0), duration)
    return Word(
        word=text,
        start_time=round(begin, 3),
        end_time=round(min(max(end, begin), duration), 3),
        confidence=min(max(confidence, 0.0), 1.0) if math.isfinite(confidence) else 0.0,
    )


def make_segment(
    text: str,
    start: float,
    end: float,
    words: Iterable[Word | None],
    *,
    duration: float,
    speaker: str | None = None,
) -> Segment | None:
    """Return a segment within the recording; None for one without characters."""
    text = text.strip()
    if not text:
        return None
    begin = min(max(start, 0.0), duration)
    return Segment(
        start_time=round(begin, 3),
        end_time=round(min(max(end, begin), duration), 3),
        text=text,
        words=tuple(each for each in words if each is not None),
        speaker_label=speaker,
    )
