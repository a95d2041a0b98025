from __future__ import annotations

import errno
from pathlib import Path

import pytest

from local_cloud.errors import LaunchError
from local_cloud.launcher.disk import GIB, check_disk, describe_os_error

pytestmark = pytest.mark.unit


def test_too_little_disk_is_refused_in_gigabytes() -> None:
    check_disk(2 * GIB, 2 * GIB, Path("/data"))
    with pytest.raises(LaunchError, match=r"1\.5 GB are free in /data, and 2 GB are needed"):
        check_disk(3 * GIB // 2, 2 * GIB, Path("/data"))


def test_an_error_of_the_disk_is_a_sentence() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/data/x")
    denied = OSError(errno.EACCES, "Permission denied", "/data/x")
    assert describe_os_error(full) == "The disk is full: /data/x."
    assert describe_os_error(denied) == "Permission denied: /data/x."
