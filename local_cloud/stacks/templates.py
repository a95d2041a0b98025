"""The templates that are deployed into the emulator, made by the CDK's app.

The app runs as `cdk synth` runs it, but without that command, which would start another Node. This
module imports only what needs no package, so that the set-up does not compile packages first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from foundation.json_files import read_object
from local_cloud import ROOT
from local_cloud.stacks.fingerprint import fingerprint

#: The environment in `app.py` that is deployed.
ENVIRONMENT: Final = "local"
#: The sources of the templates; a folder counts with all that is in it.
INPUTS: Final = (
    "access",
    "app.py",
    "build/functions",
    "cdk.context.json",
    "cdk.json",
    "foundation",
    "infra",
    "speech/__init__.py",
    "speech/engines/__init__.py",
    "speech/engines/names.py",
    "speech/transcribe_api.py",
    "speech/transcribe_operations.py",
    "speech/transcribe_values.py",
    "transcripts",
    "translation",
)
NO_INPUTS: Final = ("__pycache__",)
#: Runs the app in the folder that has it.
COMMAND: Final = (sys.executable, "app.py")
#: What `cdk synth` sets for every app; the templates are the same with and without that command.
_FLAGS: Final = dict.fromkeys(
    ("aws:cdk:enable-path-metadata", "aws:cdk:enable-asset-metadata", "aws:cdk:version-reporting"),
    True,
)


def fingerprint_stacks(root: Path = ROOT) -> str:
    """Return a digest of everything that the stacks and their functions are made from."""
    return fingerprint(root, INPUTS, without=NO_INPUTS)


def assembly_folder(data: Path) -> Path:
    """Return the folder of the templates in an emulator's data folder."""
    return data / "cdk" / "assembly"


def are_made(assembly: Path, sources: str) -> bool:
    """Return whether a folder holds the templates of the sources with this fingerprint."""
    stamp = _stamp(assembly)
    return stamp.exists() and stamp.read_text() == sources


def mark_made(assembly: Path, sources: str) -> None:
    """Record the fingerprint of the sources from which the templates were made."""
    _stamp(assembly).write_text(sources)


def _stamp(assembly: Path) -> Path:
    return assembly / "sources"


def app_environment(base: Mapping[str, str], root: Path, assembly: Path) -> dict[str, str]:
    """Return the environment in which the app of `root` writes its templates to `assembly`.

    Raises:
        WrongFile: a file with the CDK's settings is broken.
    """
    home = Path(base["HOME"], ".cdk.json") if base.get("HOME") else None
    context = {
        **(read_object(home).get("context") or {} if home else {}),
        **read_object(root / "cdk.context.json"),
        **(read_object(root / "cdk.json").get("context") or {}),
        **_FLAGS,
        "environment": ENVIRONMENT,
    }
    kept = {name: value for name, value in base.items() if not name.startswith(("CDK_", "PYTHON"))}
    return {**kept, "CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(assembly)}
