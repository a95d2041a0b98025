"""Write a transcript or captions to stdout or to a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from client.cli.printing import print_document
from client.errors import FileFailed
from client.formats import TranscriptFormat

_STDOUT: Final = Path("-")


def write_document(pieces: Iterable[bytes], wanted: TranscriptFormat, output: Path | None) -> None:
    """Write a document to a file, all or nothing, or to stdout for None and `-`.

    A file gets exactly these bytes. Errors that `pieces` raises are passed on.

    Raises:
        OutputFailed, FileFailed: it cannot be written.
        BrokenPipeError: the reader of stdout has left.
    """
    if output is None or output == _STDOUT:
        print_document(pieces, is_json=wanted is TranscriptFormat.JSON)
        return
    try:
        if output.exists() and not output.is_file():  # such as /dev/null, or a pipe
            with output.open("wb") as file:
                file.writelines(pieces)
        else:
            _replace(output, pieces)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileFailed(f"{output} cannot be written: {error.strerror}") from error


def _replace(output: Path, pieces: Iterable[bytes]) -> None:
    target = output.resolve()  # through a link, to the file that it names
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".fetch-", delete=False) as file:
        try:
            file.writelines(pieces)
            file.close()
            # As if it had been opened for writing: what it was, or what is usual for new files.
            umask = os.umask(0)
            os.umask(umask)
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask
            Path(file.name).chmod(mode)
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
