"""Which transcriber: as it is set, or the best that this machine can run."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from speech.transcribers import gpu
from speech.transcribers.base import Transcriber
from speech.transcribers.embedded import LANGUAGES, Embedded
from speech.transcribers.errors import TranscriberUnavailable
from speech.transcribers.faster_whisper import FasterWhisper
from speech.transcribers.whisper import WhisperSettings
from speech.transcribers.whisperx import Alignment, WhisperX

Kind = Literal["auto", "whisperx", "faster-whisper", "embedded"]
Device = Literal["auto", "cpu", "cuda"]

#: What WhisperX runs on a GPU unless something else is set.
DEFAULT_MODEL: Final = "large-v3"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriberSpec:
    """What is set about the transcriber; see the classes for the meaning."""

    kind: Kind = "auto"
    model: str | None = None
    device: Device = "auto"
    compute_type: str = "default"
    batch_size: int | None = None
    language: str | None = None
    alignment: Alignment = "auto"
    alignment_model: str | None = None
    #: Whether models that are missing may be fetched although `model` is a folder.
    fetch_models: bool = False
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the choice depends on besides what is set."""

    #: Packages that are installed.
    packages: frozenset[str]
    gpu: bool
    #: Why there is no GPU, where one is demanded; in words.
    without_gpu: str = ""


def this_machine(*, demands_gpu: bool = False) -> Machine:
    """Look what there is; imports no model's package but CTranslate2, if that.

    Where a GPU is demanded and there is none, this takes some seconds to find out why.
    """
    packages = frozenset(
        name for name in ("whisperx", "faster_whisper") if importlib.util.find_spec(name)
    )
    if not packages:
        without = "neither WhisperX nor faster-whisper is installed, which could use one"
        return Machine(packages=packages, gpu=False, without_gpu=without)
    there = gpu.count() > 0
    without = gpu.explain(gpu.look()) if demands_gpu and not there else ""
    return Machine(packages=packages, gpu=there, without_gpu=without)


def kind(spec: TranscriberSpec, machine: Machine) -> Kind:
    """Return which transcriber to use.

    A machine with a GPU and WhisperX uses it; one without uses faster-whisper if a model is
    given, and else the embedded engine.

    Raises:
        TranscriberUnavailable: a GPU is demanded, and there is none; or a model is given, and
            nothing is installed that could use it.
    """
    if spec.device == "cuda" and not machine.gpu:
        raise TranscriberUnavailable(
            f"DEVICE is cuda, and no GPU can be used: {machine.without_gpu}"
        )
    if spec.kind != "auto":
        return spec.kind
    if machine.gpu and "whisperx" in machine.packages:
        return "whisperx"
    if spec.model is None:
        return "embedded"
    if "faster_whisper" in machine.packages:
        return "faster-whisper"
    raise TranscriberUnavailable(
        "MODEL is given, but neither WhisperX with a GPU nor faster-whisper is there to use it; "
        "gpu_server/requirements-whisper.txt is what to install"
    )


def transcriber(spec: TranscriberSpec, machine: Machine | None = None) -> Transcriber:
    """Return the transcriber, not loaded yet.

    Raises:
        TranscriberUnavailable: what is set does not go together.
    """
    machine = machine or this_machine(demands_gpu=spec.device == "cuda")
    chosen = kind(spec, machine)
    if missing := _missing(chosen, machine):
        raise TranscriberUnavailable(missing)
    if chosen == "embedded":
        if spec.language not in LANGUAGES:
            raise TranscriberUnavailable(
                f"TRANSCRIBER_LANGUAGE is {spec.language}, and the embedded engine knows US "
                "English only"
            )
        return Embedded()
    settings = WhisperSettings(
        model=spec.model or DEFAULT_MODEL,
        device=spec.device,
        compute_type=spec.compute_type,
        batch_size=spec.batch_size,
        language=spec.language,
    )
    if chosen == "whisperx":
        return WhisperX(
            settings,
            alignment=spec.alignment,
            alignment_model=spec.alignment_model,
            token=spec.token,
            may_fetch=may_fetch(spec),
        )
    if spec.model is None:
        raise TranscriberUnavailable("TRANSCRIBER is faster-whisper: MODEL has to name a model")
    if "/" in spec.model and not Path(spec.model).is_dir() and Path(spec.model).is_absolute():
        raise TranscriberUnavailable(f"MODEL: there is no folder {spec.model}")
    return FasterWhisper(settings)


def _missing(chosen: Kind, machine: Machine) -> str | None:
    """Return which packages a transcriber lacks, in words; None if it has them."""
    packages = {"whisperx": "whisperx", "faster-whisper": "faster_whisper"}
    if chosen not in packages or packages[chosen] in machine.packages:
        return None
    requirements = {"whisperx": "whisperx", "faster-whisper": "whisper"}[chosen]
    return (
        f"TRANSCRIBER is {chosen}, which is not installed; "
        f"gpu_server/requirements-{requirements}.txt is what to install"
    )


def without_effect(spec: TranscriberSpec, chosen: Kind) -> tuple[str, ...]:
    """Return the settings that are set although the chosen transcriber has no use for them.

    They are no reason to refuse: one environment may be for machines of several kinds.
    """
    unused = _UNUSED[chosen]
    if chosen == "whisperx" and spec.alignment == "never":
        unused = ("alignment_model",)
    default = TranscriberSpec()
    return tuple(
        _VARIABLES.get(name, name.upper())
        for name in unused
        if getattr(spec, name) != getattr(default, name)
    )


_OF_WHISPERX: Final = ("batch_size", "alignment", "alignment_model", "fetch_models", "token")
_UNUSED: Final[dict[Kind, tuple[str, ...]]] = {
    "embedded": ("model", "device", "compute_type", *_OF_WHISPERX),
    "faster-whisper": _OF_WHISPERX,
    "whisperx": (),
}
#: Of fields that are not called like their environment variable.
_VARIABLES: Final = {"token": "HF_TOKEN"}


def may_fetch(spec: TranscriberSpec) -> bool:
    """Return whether models may be fetched from a hub.

    Where that is not meant, a job must not wait for a network that there is none of.
    """
    in_folder = spec.model is not None and Path(spec.model).is_dir()
    return spec.fetch_models or spec.token is not None or not in_folder
