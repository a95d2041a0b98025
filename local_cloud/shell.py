"""Prints the path of the file that a shell reads to use the demo: `python -m local_cloud.shell`.

Exit codes: 0 printed, 1 no demo runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from foundation import program
from local_cloud.errors import LaunchError
from local_cloud.launcher import shell_file
from local_cloud.launcher.data_folder import data_folder, is_running


def find_shell_file(environment: Mapping[str, str]) -> Path:
    """Return the file with address and credentials of the demo that runs on `LOCAL_DIR`.

    Raises:
        LaunchError: it does not run, or is not ready yet.
    """
    folder = data_folder(environment)
    path = folder / shell_file.NAME
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
    """Print the path; return the exit code."""
    try:
        program.show(str(find_shell_file(os.environ)))
    except LaunchError as error:
        program.note(str(error))
        return 1
    return 0


if __name__ == "__main__":
    program.end(main)
