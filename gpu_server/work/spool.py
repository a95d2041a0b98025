"""Temporary files for recordings while they are transcribed. They never outlive the server."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from gpu_server.problems import NoSpace, Unprocessable
from transcripts.documents import FailureCode


class Spool:
    """A private temporary folder. A context manager.

    Args:
        folder: where it is created.
        max_bytes: size of the largest recording.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._parent = folder
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(
            dir=self._parent, prefix="cloudscribe-", ignore_cleanup_errors=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    @contextmanager
    def create_file(self) -> Iterator[SpoolFile]:
        """Create an empty file, and remove it at the end.

        Raises:
            NoSpace: the disk is full.
        """
        if self._folder is None:
            raise RuntimeError("the spool is not open")
        try:
            descriptor, name = tempfile.mkstemp(dir=self._folder.name)
        except OSError as error:  # a full disk may have no room for a name either
            raise _no_space(error) from None
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                yield SpoolFile(path, file, self.max_bytes)
        finally:
            with suppress(OSError):
                path.unlink()


class SpoolFile:
    """A file that is being written. `write` blocks while the disk works."""

    def __init__(self, path: Path, file: BinaryIO, max_bytes: int) -> None:
        self.path = path
        self.size = 0
        self._file = file
        self._max_bytes = max_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append to the file.

        Raises:
            Unprocessable: the file would exceed the limit for a recording.
            NoSpace: the disk is full.
        """
        self.check_size(self.size + len(data))
        self.size += len(data)
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _no_space(error) from None

    def check_size(self, size: int) -> None:
        """Check an announced size.

        Raises:
            Unprocessable: it exceeds the limit for a recording.
        """
        if size > self._max_bytes:
            raise Unprocessable(
                FailureCode.TOO_LARGE,
                f"The recording has more than {self._max_bytes} bytes; cut or compress it.",
            )


def _no_space(error: OSError) -> Exception:
    """Return the exception for a disk error: `NoSpace` where the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace("There is no room for the recording.", retry_after=30)
    return error
