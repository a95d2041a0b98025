"""Checks of the machine, each a pure decision with one clear sentence for the user."""

from __future__ import annotations

import errno
import re
from pathlib import Path

Version = tuple[int, ...]

GIB = 1024**3
#: Room without which a start is refused, bytes: the data of a long demo and its logs.
DISK_FOR_DATA = GIB // 4
#: Room below which a demo that runs says so, bytes.
DISK_TO_GO_ON = GIB // 10


class SetupError(Exception):
    """Something the user has to put right; its text is for reading, without a stack trace."""


def parse_version(text: str) -> Version | None:
    """Return the first dotted number in `text` as a tuple, `None` when there is none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else None


def check_node(output: str | None) -> None:
    """Check what `node --version` printed; `None` when there is no node.

    Raises:
        SetupError: the page's build tool does not run on this Node.
    """
    advice = (
        "Building the web page needs Node 20.19 or newer (22 or 24 is best): "
        "https://nodejs.org/en/download"
    )
    version = parse_version(output) if output else None
    if version is None:
        raise SetupError(f"Node was not found. {advice}")
    # What vite asks for: ^20.19.0 || >=22.12.0.
    if version < (20, 19) or (21,) <= version < (22, 12):
        raise SetupError(f"Node {'.'.join(map(str, version))} is too old. {advice}")


def check_disk(free: int, needed: int, folder: Path) -> None:
    """Check the free bytes of the disk that holds `folder`.

    Raises:
        SetupError: there are fewer than `needed`.
    """
    if free < needed:
        raise SetupError(
            f"Not enough disk: {free / GIB:.1f} GB are free in {folder}, "
            f"and {needed / GIB:.2g} GB are needed."
        )


def check_environment(config: str, folder: Path) -> None:
    """Check an environment that is there already by its `pyvenv.cfg`.

    Raises:
        SetupError: it was made by a Python that is too old.
    """
    found = re.search(r"^version(?:_info)?\s*=\s*(.+)$", config, re.MULTILINE)
    version = parse_version(found[1]) if found else None
    if version is not None and version < (3, 11):
        raise SetupError(
            f"{folder.name} was made with Python {'.'.join(map(str, version))}, and 3.11 or newer "
            f"is needed. Remove it with: rm -r {folder}"
        )


def unwritable(error: OSError) -> str:
    """Return in words that the machine did not let us read or write."""
    where = f": {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{where}."
    return f"{error.strerror or error}{where}."


def explain(output: str) -> str | None:
    """Return what the failure of an installer means for the user, where it is a known one."""
    text = output.lower()
    if "ensurepip" in text:
        return (
            "This Python cannot make virtual environments. On Debian and Ubuntu: "
            "apt-get install python3-venv"
        )
    if "no space left" in text or "enospc" in text:
        return "The disk is full. Make room and run the same command again; it goes on from here."
    if any(sign in text for sign in _COMPILER):
        return (
            "pocketsphinx has no ready-made package for this Python and is compiled, for which "
            "a C compiler is missing. On Debian and Ubuntu: apt-get install build-essential "
            "python3-dev"
        )
    if any(sign in text for sign in _NETWORK):
        return "The package registry could not be reached. What is done already is kept."
    return None


_COMPILER = (
    "python.h: no such file",
    "cmake_c_compiler",
    "command 'gcc' failed",
    "command 'cc' failed",
    "no such file or directory: 'gcc'",
)
_NETWORK = (
    "name resolution",
    "name or service not known",
    "failed to establish a new connection",
    "connection refused",
    "dns error",
    "network is unreachable",
    "timed out",
    "eai_again",
    "enotfound",
    "econnrefused",
    "etimedout",
    "could not resolve",
    "no matching distribution found for uv",
)
