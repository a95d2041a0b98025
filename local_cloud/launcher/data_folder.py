"""The folder that keeps a demo's data, and the lock of the demo that runs on it.

Standard library only: it is used before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from local_cloud import ROOT
from local_cloud.errors import LaunchError

#: Locked by the demo that runs on a folder.
_LOCK: Final = "demo.lock"


def data_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of `LOCAL_DIR`; expand a `~`, as `make demo LOCAL_DIR=~/x` does not."""
    folder = Path(environment.get("LOCAL_DIR") or ".local")
    with contextlib.suppress(RuntimeError):  # there is no home
        folder = folder.expanduser()
    return (ROOT / folder).resolve()


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[Path]:
    """Lock the folder against other demos; yield the file in which this one records its address.

    Raises:
        LaunchError: another demo runs on this folder, or it cannot be written.
    """
    path = folder / _LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise LaunchError(
            f"The data cannot be kept in {folder}: {error.strerror}. "
            "Choose another folder: LOCAL_DIR=/path/to/folder make demo"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchError(
                f"Cloudscribe runs here already{_read_owner(path)}. Stop it with Ctrl-C where it "
                "was started, or start a second one beside it: "
                "LOCAL_DIR=.local/second PORT=8090 make demo"
            ) from None
        try:
            yield path
        finally:
            file.truncate(0)


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


def _read_owner(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(path.read_text())
        return f" (process {known['pid']}, {known['url']})"
    return ""
