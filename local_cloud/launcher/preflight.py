"""What `make demo` checks before it installs anything. Standard library only.

    python3 -m local_cloud.launcher.preflight

These are the settings and files that people make by hand, and the places that have to be free. The
rest is checked by `launcher/validation.py` before anything starts, once packages are installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, get_args

from foundation.json_files import WrongFile, read_object
from local_cloud import ROOT
from local_cloud.errors import LaunchError
from local_cloud.launcher.data_folder import (
    check_not_running,
    data_folder,
    describe_unusable,
    existing_parent,
)
from local_cloud.launcher.ports import chosen_port, take_port
from speech.engines.names import EngineName
from translation.names import TranslatorName

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
ENGINES: Final[tuple[str, ...]] = get_args(EngineName)
#: Values of `ACCESS`: everybody may do everything, or people sign in.
OPEN: Final = "open"
ACCOUNTS: Final = "accounts"
TRANSLATORS: Final[tuple[str, ...]] = get_args(TranslatorName)
#: Files that every folder with a model in CTranslate2's format has.
MODEL_FILES: Final = ("model.bin", "config.json")
#: Files that the CDK's command line reads.
CDK_FILES: Final = ("cdk.json", "cdk.context.json")

#: Problems by the variable or file that has to be changed.
Problems = dict[str, str]


def problems(environment: Mapping[str, str]) -> Problems:
    """Return what is wrong with the settings that can be checked this early."""
    found: Problems = {}
    try:
        chosen_port(environment)
    except LaunchError as error:
        found["PORT"] = str(error)
    if problem := folder_problem(data_folder(environment)):
        found["LOCAL_DIR"] = problem
    found |= _find_wrong_choices(environment)
    if (model := environment.get("MODEL")) and (problem := model_problem(model)):
        found["MODEL"] = problem
    files = [ROOT / name for name in CDK_FILES]
    if home := environment.get("HOME"):
        files.append(Path(home) / ".cdk.json")
    for file in files:
        try:
            read_object(file)
        except WrongFile as error:
            found[file.name] = f"{error} ({file.parent})."
    return found


def _find_wrong_choices(environment: Mapping[str, str]) -> Problems:
    """Return the problems of settings that have one of a few values."""
    found: Problems = {}
    if (engine := environment.get("ENGINE") or ENGINES[0]) not in ENGINES:
        found["ENGINE"] = f"ENGINE={engine}: the engines are {_listed(ENGINES)}."
        if "whisper" in engine.lower():
            found["ENGINE"] += (
                " Whisper transcribes recordings, not streams: MODEL=/path/to/model make demo"
            )
    if (access := environment.get("ACCESS") or OPEN) not in (OPEN, ACCOUNTS):
        found["ACCESS"] = (
            f"ACCESS={access}: it can be {OPEN}, where everybody who reaches the page may do "
            f"everything, or {ACCOUNTS}, where people sign in."
        )
    if (translator := environment.get("TRANSLATOR") or TRANSLATORS[0]) not in TRANSLATORS:
        found["TRANSLATOR"] = f"TRANSLATOR={translator}: it can be {_listed(TRANSLATORS, 'or')}."
    return found


def _listed(names: Iterable[str], word: str = "and") -> str:
    *first, last = names
    return f"{', '.join(first)} {word} {last}"


def folder_problem(folder: Path) -> str | None:
    """Return why data cannot be kept in a folder, which need not be there yet."""
    there = existing_parent(folder)
    if not there.is_dir():
        return describe_unusable(folder, f"{there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        return describe_unusable(folder, f"you may not write in {there}")
    return None


def model_problem(model: str) -> str | None:
    """Return why `MODEL` cannot be used; a name that a registry may know is left alone."""
    folder = ROOT / model
    if not (model.startswith(("/", ".", "~")) or model.endswith("/") or folder.exists()):
        return None
    if not folder.is_dir():
        why = "is a file" if folder.exists() else "does not exist"
        return f"MODEL={model} {why}; give a folder with a model in CTranslate2's format."
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if missing:
        return (
            f"MODEL={model} has no {' and no '.join(missing)}, so it is no model in CTranslate2's "
            "format. ct2-transformers-converter makes one."
        )
    return None


def main() -> int:
    """Print what is wrong; return the exit code."""
    found = problems(os.environ)
    if found:
        sys.stdout.write("".join(f"{text}\n" for text in found.values()))
        return EXIT_USAGE
    try:
        check_not_running(data_folder(os.environ))
        take_port(chosen_port(os.environ)).close()
    except LaunchError as error:
        sys.stdout.write(f"{error}\n")
        return EXIT_FAILURE
    return 0


if __name__ == "__main__":
    sys.exit(main())
