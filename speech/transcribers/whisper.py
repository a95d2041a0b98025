"""What the ways to run Whisper have in common: settings, languages, devices, segments.

Whisper's languages are those of ISO 639, mostly by two letters; BCP 47 begins with the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from speech.transcribers import gpu
from speech.transcribers.base import UNDETERMINED, Transcriber
from speech.transcribers.errors import BadRecording, TranscriberUnavailable
from transcripts.documents import FailureCode, Segment
from transcripts.models import Word

M = TypeVar("M")

log = structlog.get_logger(__name__)

#: Tags that Whisper knows by another name: Filipino, Norwegian Bokmål, Mandarin, Hebrew of old.
_OTHER_NAMES = {"fil": "tl", "nb": "no", "cmn": "zh", "iw": "he", "in": "id"}


@dataclass(frozen=True, slots=True)
class WhisperSettings:
    """Which model, and how it runs."""

    #: Folder in CTranslate2's format, or name in the Hugging Face hub.
    model: str
    #: `cuda`, `cpu` or `auto`.
    device: str = "auto"
    #: CTranslate2's, e.g. `float16`; `default` suits the device.
    compute_type: str = "default"
    #: Stretches of speech that WhisperX decodes at once, at most; None suits the device.
    batch_size: int | None = None
    #: Of recordings that tell none (BCP 47); None detects it.
    language: str | None = None


class Whisper(Transcriber):
    """A way to run Whisper."""

    def __init__(self, library: str, settings: WhisperSettings) -> None:
        """Name the engine after the library that runs the model, and the model."""
        self.model = Path(settings.model).name or settings.model
        self.engine = f"{library} {self.model}"
        self._settings = settings

    def _load_model(self, load: Callable[[str, str, str], M]) -> M:
        """Return what `load` makes of a source, a device and a compute type.

        Raises:
            TranscriberUnavailable: the model or the device is not there, or of no use.
        """
        wanted = self._settings
        check_model_folder(wanted.model)
        self.device = device(wanted.device)
        try:
            return load(wanted.model, self.device, compute_type(wanted.compute_type, self.device))
        except (OSError, ValueError, RuntimeError) as error:
            raise TranscriberUnavailable(f"MODEL {self.model} cannot be loaded: {error}") from error


def code(language: str, known: Iterable[str]) -> str:
    """Return Whisper's code for a BCP 47 tag.

    Raises:
        BadRecording: the model does not know the language.
    """
    primary = language.split("-", maxsplit=1)[0].lower()
    found = _OTHER_NAMES.get(primary, primary)
    if found not in known:
        raise BadRecording(
            FailureCode.UNSUPPORTED_LANGUAGE, f"The model does not know the language {language}."
        )
    return found


def tag(asked: str | None, found: str | None) -> str:
    """Return the language of a result as BCP 47: as it was asked for, or else as it was found."""
    return asked or found or UNDETERMINED


def device(wanted: str) -> str:
    """Return `cuda` or `cpu` for what was set, which may be `auto`.

    A GPU that is there and cannot be used makes a server slow; the log says so.
    """
    if wanted != "auto":
        return wanted
    if gpu.count():
        return "cuda"
    found = gpu.look()
    if found.devices:
        log.warning("gpu_not_used", why=gpu.explain(found))
    return "cpu"


def compute_type(wanted: str, on: str) -> str:
    """Return how to compute: what was set, or what is fast on the device at next to no loss."""
    if wanted != "default":
        return wanted
    return "float16" if on == "cuda" else "int8"


def encode_silence(model: Any) -> int:
    """Have a model of faster-whisper, or of WhisperX, compute a second of silence on its device.

    Return the width of the model.
    """
    import numpy as np  # noqa: PLC0415 - only where Whisper runs

    encoded = model.encode(model.feature_extractor(np.zeros(16_000, np.float32)))
    return int(encoded.shape[-1])


def check_language(language: str | None, known: Iterable[str]) -> None:
    """Check the language that is set for recordings which tell none.

    Raises:
        TranscriberUnavailable: the model does not know it.
    """
    try:
        if language is not None:
            code(language, known)
    except BadRecording as error:
        raise TranscriberUnavailable(f"TRANSCRIBER_LANGUAGE: {error}") from None


def check_model_folder(model: str) -> None:
    """Check a model that is given by its folder; a name is nothing to check.

    Raises:
        TranscriberUnavailable: a file is missing, and would be looked for in the Internet.
    """
    folder = Path(model)
    if not folder.is_dir():
        return
    for name in ("model.bin", "tokenizer.json"):
        if not (folder / name).is_file():
            raise TranscriberUnavailable(f"MODEL: there is no {name} in {folder}")


def word(text: str, start: float, end: float, confidence: float, *, duration: float) -> Word | None:
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


def segment(
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
