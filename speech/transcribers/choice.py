"""The choice of the transcriber: the configured one, or the best for this machine."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from speech.transcribers import gpu
from speech.transcribers.base import Transcriber
from speech.transcribers.embedded import Embedded, knows_language
from speech.transcribers.errors import TranscriberUnavailable
from speech.transcribers.whisper import Alignment, WhisperSettings

Kind = Literal["auto", "whisperx", "faster-whisper", "embedded"]
Device = Literal["auto", "cpu", "cuda"]

#: WhisperX's default model.
DEFAULT_MODEL: Final = "large-v3"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriberSpec:
    """The settings of the transcriber; its classes explain them."""

    kind: Kind = "auto"
    model: str | None = None
    device: Device = "auto"
    compute_type: str = "default"
    batch_size: int | None = None
    language: str | None = None
    alignment: Alignment = "auto"
    alignment_model: str | None = None
    #: Whether missing models may be fetched although `model` is a folder.
    fetch_models: bool = False
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The properties of the machine on which the choice depends."""

    #: The installed packages.
    packages: frozenset[str]
    gpu: bool
    #: Why there is no GPU, where one is required; in words.
    without_gpu: str = ""


def inspect_machine(*, demands_gpu: bool = False) -> Machine:
    """Inspect this machine. Of the models' packages it imports CTranslate2 at most.

    Where a GPU is required and there is none, it takes some seconds to find the reason.
    """
    packages = frozenset(
        name for name in ("whisperx", "faster_whisper") if importlib.util.find_spec(name)
    )
    if not packages:
        without = "neither WhisperX nor faster-whisper is installed, which could use one"
        return Machine(packages=packages, gpu=False, without_gpu=without)
    there = gpu.count_gpus() > 0
    without = gpu.explain(gpu.inspect()) if demands_gpu and not there else ""
    return Machine(packages=packages, gpu=there, without_gpu=without)


def choose_kind(spec: TranscriberSpec, machine: Machine) -> Kind:
    """Choose the kind of transcriber.

    A machine with a GPU and WhisperX uses WhisperX. Any other uses faster-whisper if a model is
    given, else the embedded engine.

    Raises:
        TranscriberUnavailable: a GPU is required and there is none, or a model is given and no
            installed package can use it.
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


def create_transcriber(spec: TranscriberSpec, machine: Machine | None = None) -> Transcriber:
    """Create the transcriber without loading it.

    Raises:
        TranscriberUnavailable: the settings contradict each other or the machine.
    """
    machine = machine or inspect_machine(demands_gpu=spec.device == "cuda")
    chosen = choose_kind(spec, machine)
    if missing := _missing(chosen, machine):
        raise TranscriberUnavailable(missing)
    if chosen == "embedded":
        if not knows_language(spec.language):
            raise TranscriberUnavailable(
                f"TRANSCRIBER_LANGUAGE is {spec.language}, and the embedded engine knows English "
                "only"
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
        from speech.transcribers.whisperx import WhisperX  # noqa: PLC0415 - imports NumPy

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
    from speech.transcribers.faster_whisper import FasterWhisper  # noqa: PLC0415 - the same

    return FasterWhisper(settings)


def _missing(chosen: Kind, machine: Machine) -> str | None:
    """Describe the packages that a transcriber lacks; None if it has all."""
    packages = {"whisperx": "whisperx", "faster-whisper": "faster_whisper"}
    if chosen not in packages or packages[chosen] in machine.packages:
        return None
    requirements = {"whisperx": "whisperx", "faster-whisper": "whisper"}[chosen]
    return (
        f"TRANSCRIBER is {chosen}, which is not installed; "
        f"gpu_server/requirements-{requirements}.txt is what to install"
    )


def find_unused_settings(spec: TranscriberSpec, chosen: Kind) -> tuple[str, ...]:
    """Return the settings that are set and that the chosen transcriber does not use.

    They are no error, because machines of several kinds may share an environment.
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
#: The environment variables whose names differ from their fields.
_VARIABLES: Final = {"token": "HF_TOKEN"}


def may_fetch(spec: TranscriberSpec) -> bool:
    """Return whether models may be fetched from a hub.

    Where they may not, a job must not wait for a network that does not exist.
    """
    in_folder = spec.model is not None and Path(spec.model).is_dir()
    return spec.fetch_models or spec.token is not None or not in_folder
