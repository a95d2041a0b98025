"""A base image without a registry: Debian with its own Python, made by debootstrap.

For machines where the public base cannot be pulled. It differs from the public one in the
Python (3.11 of Debian 12, or 3.13 of Debian 13) and is larger; the Dockerfiles fit both. The
packages come from the mirror that this machine's apt uses; what would tell of the machine
(the mirror's address, the host's name, its resolver) is removed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from scripts.builders import Buildah, CannotBuild, ask
from scripts.setup import Tools

NAME = "cloudscribe/stand-in-base"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
#: Debian's releases whose Python is new enough, the preferred one first.
RELEASES = ("bookworm", "trixie")
PUBLIC_MIRROR = "http://deb.debian.org/debian"
LOG = "image-base"

#: What is not wanted in an image: caches, documents, and traces of this machine.
_REMOVED = (
    "etc/apt/sources.list",
    "etc/hostname",
    "etc/resolv.conf",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
)


def chosen_mirror(targets: Iterable[str]) -> tuple[str, str]:
    """Return release and mirror out of apt's lines `SITE|RELEASE|COMPONENT|ORIGIN`."""
    found: dict[str, str] = {}
    for line in targets:
        site, release, component, origin = line.split("|")
        if component == "main" and origin in {"", "Debian"}:
            found.setdefault(release, site)
    for release in RELEASES:
        if release in found:
            return release, found[release]
    return RELEASES[0], PUBLIC_MIRROR


def _mirror() -> tuple[str, str]:
    layout = "$(SITE)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
    lines = ask("apt-get", "indextargets", "--format", layout, "Identifier: Packages")
    return chosen_mirror((lines or "").splitlines())


def program() -> str:
    """Return where debootstrap is.

    Raises:
        CannotBuild: it is not installed.
    """
    found = shutil.which("debootstrap")
    if found is None:
        raise CannotBuild(
            "The public base image cannot be pulled, and for a stand-in debootstrap is missing "
            "(on Debian, as root: apt-get install debootstrap)"
        )
    return found


def make(buildah: Buildah, debootstrap: str, tools: Tools) -> None:
    """Make the base. It takes about a minute.

    Raises:
        SetupError: it failed.
    """
    release, mirror = _mirror()
    ask(*buildah.call("rm", "stand-in"))  # of a run that was killed
    tools.run(LOG, buildah.call("from", "--name", "stand-in", "scratch"))
    try:
        root = Path(_answer(buildah.call("mount", "stand-in")))
        include = f"--include={','.join(PACKAGES)}"
        tools.run(LOG, [debootstrap, "--variant=minbase", include, release, str(root), mirror])
        _trim(root)
        tools.run(LOG, buildah.call("commit", "--format", "docker", "--rm", "stand-in", NAME))
    finally:
        ask(*buildah.call("rm", "stand-in"))


def _answer(call: list[str]) -> str:
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - a fixed call of buildah


def _trim(root: Path) -> None:
    for name in _REMOVED:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            for entry in path.iterdir():
                _remove(entry)
        else:
            path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
