"""A digest of files, to detect whether what was made from them is stale."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def fingerprint(root: Path, names: Iterable[str | Path], *, without: Iterable[str] = ()) -> str:
    """Return a digest of the names and contents of files below `root`.

    The order of `names` does not matter. File names are taken relative to `root`, so that the
    digest is the same wherever the tree lies.

    Args:
        root: the tree.
        names: files and folders in it. A folder counts with every file below it; a missing file
            counts as missing, which is not the same as an empty one.
        without: names of files and folders to leave out.
    """
    left_out = frozenset(without)
    files = {file for name in names for file in _files(root / name, left_out)}
    digest = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes() if path.is_file() else b"-"
        name = os.fsencode(path.relative_to(root))
        digest.update(b"%d %d " % (len(name), len(content)) + name + content)
    return digest.hexdigest()


def _files(path: Path, left_out: frozenset[str]) -> Iterable[Path]:
    if not path.is_dir():
        yield path
        return
    for parent, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in left_out]
        yield from (Path(parent, name) for name in names if name not in left_out)
