"""Who builds container images: Docker where it answers, otherwise Debian's buildah.

SetupError
└── CannotBuild    this machine has nothing to build images with, or nothing to build them on

buildah needs no daemon. Its images lie in `.local/images`, so they go with `make clean`.
"""

from __future__ import annotations

import json
import os
import platform as machine
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from scripts.checks import SetupError

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / ".local" / "images"

#: What the kernel calls an architecture, and what images call it.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
#: Seconds for a question to Docker or buildah, and for an image to come from its registry.
_PATIENCE = 60.0
_PULL_PATIENCE = 180.0


class CannotBuild(SetupError):
    """This machine has nothing to build images with, or nothing to build them on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An image to build: from `FOLDER/Dockerfile`, out of the whole tree."""

    folder: str
    #: The image below; None leaves it to the Dockerfile.
    base: str | None = None
    #: Such as linux/arm64; None is this machine's own.
    platform: str | None = None
    #: Values of the Dockerfile's `ARG`s.
    arguments: Mapping[str, str] = field(default_factory=dict)
    #: Files that the build may read, by name.
    secrets: Mapping[str, Path] = field(default_factory=dict)

    @property
    def image(self) -> str:
        """The image's name."""
        return f"cloudscribe/{self.folder}"

    def options(self) -> list[str]:
        """Return what Docker and buildah understand alike."""
        options = ["--file", str(ROOT / self.folder / "Dockerfile"), "--tag", self.image]
        for name, path in self.secrets.items():
            options += ["--secret", f"id={name},src={path}"]
        base = {} if self.base is None else {"BASE": self.base}
        for name, value in (*base.items(), *self.arguments.items()):
            options += ["--build-arg", f"{name}={value}"]
        if self.platform is not None:
            options += ["--platform", self.platform]
        return options


@dataclass(frozen=True, slots=True)
class Found:
    """An image that is there: its id, and its size unpacked in bytes."""

    id: str
    size: int


class Builder(Protocol):
    """Builds images, and knows those it has built."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def command(self, order: Order) -> list[str]:
        """Return the call that builds."""
        ...

    def find(self, image: str) -> Found | None:
        """Return an image, None where there is none of that name."""
        ...


@dataclass(frozen=True, slots=True)
class Docker:
    """A Docker engine and its builder, BuildKit."""

    program: str
    name: str = "docker"

    def command(self, order: Order) -> list[str]:
        """Return the call that builds. A proxy's address is taken from the environment."""
        proxies = [w for p in _PROXIES if p in os.environ for w in ("--build-arg", p)]
        # One plain image: an attestation would make it an index of several.
        options = ["--load", "--provenance=false", "--progress=plain", *proxies, *order.options()]
        return [self.program, "buildx", "build", *options, str(ROOT)]

    def find(self, image: str) -> Found | None:
        """Return an image, None where there is none of that name."""
        shown = ask(self.program, "image", "inspect", "--format", "{{.Id}} {{.Size}}", image)
        if shown is None:
            return None
        found, size = shown.split()
        return Found(found, int(size))


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah, run as root. Containers are chroots on the machine's own network."""

    program: str
    store: Path = STORE
    driver: str = "overlay"
    name: str = "buildah"

    def call(self, *arguments: str) -> list[str]:
        """Return a call on the images of this tree."""
        places = ["--root", str(self.store / "storage"), "--runroot", str(self.store / "run")]
        return [self.program, *places, "--storage-driver", self.driver, *arguments]

    def command(self, order: Order) -> list[str]:
        """Return the call that builds.

        Raises:
            CannotBuild: the image is for another kind of machine.
        """
        own = f"linux/{_ARCHITECTURES.get(machine.machine(), machine.machine())}"
        if order.platform not in {None, own}:
            raise CannotBuild(f"buildah builds for {own} here; {order.platform} takes Docker")
        # Only Docker's format has a place for a health check. Without overlays each layer is a
        # copy of everything below, so there none is kept to begin from next time.
        options = ["--isolation", "chroot", "--network", "host", "--format", "docker"]
        options.append(f"--layers={'true' if self.driver == 'overlay' else 'false'}")
        return self.call("build", *options, *order.options(), str(ROOT))

    def find(self, image: str) -> Found | None:
        """Return an image, None where there is none of that name."""
        shown = ask(*self.call("images", "--json", image))
        if shown is None:
            return None
        entry = json.loads(shown)[0]
        return Found(entry["id"], size_in_bytes(entry["size"]))

    def pull(self, image: str) -> bool:
        """Fetch an image from its registry; tell whether that worked."""
        return ask(*self.call("pull", "--quiet", image), patience=_PULL_PATIENCE) is not None

    def configuration(self, image: str) -> Mapping[str, Any]:
        """Return how an image wants to be run, in Docker's words."""
        shown = ask(*self.call("inspect", "--type", "image", image))
        if shown is None:
            raise CannotBuild(f"there is no image {image}")
        configuration: Mapping[str, Any] = json.loads(shown)["Docker"]["config"]
        return configuration


def size_in_bytes(text: str) -> int:
    """Return the bytes that buildah writes as, e.g., `329 MB`."""
    number, unit = text.split()
    return round(float(number) * _UNITS[unit.upper()])


def ask(*call: str, patience: float = _PATIENCE) -> str | None:
    """Return what a program prints, None if it fails, is missing or does not answer."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed questions to Docker and buildah
            call,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=patience,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def builder() -> Docker | Buildah:
    """Return who builds on this machine.

    Raises:
        CannotBuild: nobody does; the text says what is missing.
    """
    found, buildah = docker(), shutil.which("buildah")
    if found is not None:
        return found
    lacking = "Docker does not answer, or has no buildx (docker-buildx-plugin)"
    if not buildah:
        raise CannotBuild(
            f"Images cannot be built: {lacking}, and there is no buildah "
            "(on Debian, as root: apt-get install buildah debootstrap)"
        )
    if os.geteuid() != 0:
        raise CannotBuild(f"Images cannot be built: {lacking}, and buildah has to be run as root")
    return Buildah(buildah, driver=_driver(buildah))


def docker() -> Docker | None:
    """Return Docker where an engine answers that has buildx; its command line builds nothing."""
    program = shutil.which("docker")
    if program and ask(program, "version", "--format", "{{.Server.Version}}"):
        return Docker(program) if ask(program, "buildx", "version") else None
    return None


def _driver(program: str) -> str:
    """Return how layers can be kept here: where `overlay` cannot be mounted, as copies."""
    known = STORE / "storage"
    for driver in ("overlay", "vfs"):
        if (known / f"{driver}-images").is_dir():
            return driver  # what the store was begun with
    buildah = Buildah(program)
    container = ask(*buildah.call("from", "scratch"))
    if container is None:
        return "vfs"
    works = ask(*buildah.call("mount", container)) is not None
    ask(*buildah.call("rm", container))
    if works:
        return "overlay"
    shutil.rmtree(known, ignore_errors=True)
    return "vfs"


def default_base(dockerfile: str) -> str | None:
    """Return the base that a Dockerfile names itself."""
    found = re.search(r"^ARG BASE=(\S+)", dockerfile, re.MULTILINE)
    return found[1] if found else None


def sources(dockerfile: str) -> list[str]:
    """Return what a Dockerfile copies out of the tree: files and folders, each once."""
    lines = dockerfile.replace("\\\n", " ").splitlines()
    words: list[Sequence[str]] = [line.split()[1:] for line in lines if line.startswith("COPY ")]
    copied = [
        name
        for each in words
        if not any(word.startswith("--from=") for word in each)
        for name in [word for word in each if not word.startswith("--")][:-1]
    ]
    return list(dict.fromkeys(copied))
