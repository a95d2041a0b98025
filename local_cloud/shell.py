"""Prints the file that a shell reads to use the demo that runs: `python -m local_cloud.shell`.

Exit codes: 0 printed, 1 no demo runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from foundation import program
from local_cloud.errors import LaunchError
from local_cloud.launcher.places import folder_of, is_running


def settings_of(environment: Mapping[str, str]) -> Path:
    """Return where the demo of `LOCAL_DIR` keeps its address and credentials.

    Raises:
        LaunchError: it does not run, or is not ready yet.
    """
    folder = folder_of(environment)
    path = folder / "aws.env"
    if not is_running(folder):
        raise LaunchError(
            f"No demo runs in {folder}: start `make demo` first, with the same LOCAL_DIR."
        )
    if not path.exists():
        raise LaunchError(
            f"The demo in {folder} is not ready yet: wait until it prints its address."
        )
    return path


def main() -> int:
    """Print the file; return the exit code."""
    try:
        program.show(str(settings_of(os.environ)))
    except LaunchError as error:
        program.note(str(error))
        return 1
    return 0


if __name__ == "__main__":
    program.end(main)
