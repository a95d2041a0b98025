"""The locked requirements, as scripts/lock.sh writes them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP = "requirements.txt"
#: The groups of pyproject.toml that each file holds.
LOCKS = {
    path: groups.split()
    for path, groups in re.findall(
        r"^lock (\S+) (.+)$", (ROOT / "scripts" / "lock.sh").read_text(), re.MULTILINE
    )
}


def pins(text: str) -> set[tuple[str, str, str]]:
    """Return what a locked file pins as (name, version, marker); the marker may be empty."""
    pattern = re.compile(
        r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)(?:\s*;\s*([^\\\n]+?))?\s*\\?$", re.MULTILINE
    )
    return {(name, version, marker or "") for name, version, marker in pattern.findall(text)}


def block(text: str, name: str) -> str:
    """Return the lines of a locked file that pin `name`, hashes included; `""` without them."""
    found = re.search(rf"^{re.escape(name)}==.*(?:(?<=\\)\n.*)*", text, re.MULTILINE)
    return f"{found[0]}\n" if found else ""
