"""Check the free disk space, and describe errors of files."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from local_cloud.errors import LaunchError

GIB: Final = 1024**3
#: Free space without which the demo does not start, bytes: a long demo's data and its logs.
DISK_TO_START: Final = GIB // 4
#: Free space below which a running demo prints a warning, bytes.
DISK_TO_GO_ON: Final = GIB // 10


def check_disk(free: int, needed: int, folder: Path) -> None:
    """Check the free bytes of the disk that holds `folder`.

    Raises:
        LaunchError: there are fewer than `needed`.
    """
    if free < needed:
        raise LaunchError(
            f"Not enough disk: {free / GIB:.1f} GB are free in {folder}, "
            f"and {needed / GIB:.2g} GB are needed."
        )


def describe_os_error(error: OSError) -> str:
    """Return a sentence for the user about a file that cannot be read or written."""
    where = f": {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{where}."
    return f"{error.strerror or error}{where}."
