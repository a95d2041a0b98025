"""The folder that keeps a demo's data, and the lock of the demo that runs on it.

Standard library only: it is used before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from local_cloud import ROOT
from local_cloud.errors import InvalidSettings, LaunchError

#: Locked by the demo that runs on a folder.
_LOCK: Final = "demo.lock"


def data_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of `LOCAL_DIR`; expand a `~`, as `make demo LOCAL_DIR=~/x` does not."""
    folder = Path(environment.get("LOCAL_DIR") or ".local")
    with contextlib.suppress(RuntimeError):  # there is no home
        folder = folder.expanduser()
    return (ROOT / folder).resolve()


def existing_parent(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))


def describe_unusable(folder: Path, why: str) -> str:
    """Return a sentence for the user about a folder in which data cannot be kept."""
    return f"The data cannot be kept in {folder}: {why}. Choose another folder with LOCAL_DIR."


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[Path]:
    """Lock the folder against other demos; yield the file in which this one records its address.

    Raises:
        InvalidSettings: the folder cannot be written.
        LaunchError: another demo runs on this folder.
    """
    path = folder / _LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise InvalidSettings(describe_unusable(folder, str(error.strerror))) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _runs_already(path) from None
        try:
            yield path
        finally:
            file.truncate(0)


def check_not_running(folder: Path) -> None:
    """Check that no demo runs on a folder; leave nothing in it.

    Raises:
        LaunchError: one runs.
    """
    if is_running(folder):
        raise _runs_already(folder / _LOCK)


def is_running(folder: Path) -> bool:
    """Return whether a demo runs on a folder."""
    try:
        with (folder / _LOCK).open() as file:
            # Shared and released at once: it delays a demo that starts now by microseconds.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _runs_already(lock: Path) -> LaunchError:
    owner = ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(lock.read_text())
        owner = f" (process {known['pid']}, {known['url']})"
    return LaunchError(
        f"Cloudscribe runs here already{owner}. Stop it with Ctrl-C where it was started, or start "
        "a second one beside it: LOCAL_DIR=.local/second PORT=8090 make demo"
    )
