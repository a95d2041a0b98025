"""Stamps: what a step was last done from, so that it is done again only when that changed.

A stamp holds a fingerprint of the step's inputs and is written when the step has succeeded;
a step that was interrupted has none and is simply done again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def fingerprint(root: Path, files: Iterable[Path], *facts: str) -> str:
    """Return a digest over names and contents of `files` and over `facts`.

    A file that does not exist counts as such. Order does not matter. Names are taken relative
    to `root`, so the digest is the same wherever the tree lies.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes() if path.is_file() else b"-"
        name = os.fsencode(path.relative_to(root))
        digest.update(b"%d %d " % (len(name), len(content)) + name + content)
    for fact in facts:
        digest.update(b"%d " % len(fact.encode()) + fact.encode())
    return digest.hexdigest()


def sources(folder: Path, *, without: Iterable[str]) -> list[Path]:
    """Return every file below `folder`, leaving out folders and files named in `without`."""
    left_out = frozenset(without)
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in left_out)
        found += [Path(parent, name) for name in sorted(names) if name not in left_out]
    return found


def is_current(stamp: Path, value: str, outputs: Iterable[Path] = ()) -> bool:
    """Tell whether `stamp` holds `value` and every output is still there."""
    try:
        held = stamp.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return False
    return held.strip() == value and all(output.exists() for output in outputs)


def write(stamp: Path, value: str) -> None:
    """Write `stamp` in one go, so that it is either whole or absent."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    fresh = stamp.with_name(f"{stamp.name}.{os.getpid()}")
    fresh.write_text(f"{value}\n", encoding="ascii")
    fresh.replace(stamp)
