"""Finds the files of a Moonshine model, without importing the package that holds one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from speech.engines.errors import EngineUnavailable

#: The package with the default model. Only its files are used: its library would download models
#: and open sound devices, and takes more CPU time for the same model (docs/benchmarks.md).
PACKAGE: Final = "moonshine_voice"
_DEFAULT: Final = Path("assets", "tiny-en")
_ENCODER: Final = "encoder_model.ort"
_DECODER: Final = "decoder_model_merged.ort"
_VOCABULARY: Final = "tokenizer.bin"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model."""

    encoder: Path
    decoder: Path
    vocabulary: Path


def find_model(folder: str | None = None) -> ModelFiles:
    """Return the files in `folder`, by default those of the installed package.

    Raises:
        EngineUnavailable: the package is not installed, or a file is missing.
    """
    found = _packaged_folder() if folder is None else Path(folder)
    if found is None:
        raise EngineUnavailable(
            "the package moonshine-voice, which holds the model, is not installed; "
            "`make setup` installs it where it is made for the machine"
        )
    if not found.is_dir():
        raise EngineUnavailable(f"there is no folder {found}")
    files = ModelFiles(found / _ENCODER, found / _DECODER, found / _VOCABULARY)
    missing = [
        file.name for file in (files.encoder, files.decoder, files.vocabulary) if not file.is_file()
    ]
    if missing:
        raise EngineUnavailable(f"{found} has no {' and no '.join(missing)}")
    return files


def damaged(file: Path, reason: object) -> EngineUnavailable:
    """Return the error of a file that is incomplete, or is something else."""
    return EngineUnavailable(
        f"{file} is damaged or belongs to another model ({reason}); copy the file again, or, where "
        "it is the package's, install moonshine-voice again"
    )


def is_installed() -> bool:
    """Return whether the default model and the library that runs it are here."""
    return find_spec("onnxruntime") is not None and _packaged_folder() is not None


def _packaged_folder() -> Path | None:
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    return Path(folders[0]) / _DEFAULT if folders else None
