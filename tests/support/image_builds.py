"""Builds the service's image for tests: `make images`, with the options that this machine needs.

RuntimeError
└── CannotBuild    this machine cannot build images; the message names what is missing

Docker builds on the public base image. Without a Docker engine buildah builds as root, without a
daemon, in chroots on the machine's network. For machines that cannot reach a registry of images its
base is a stand-in: Debian with Debian's Python, which debootstrap installs once from apt's mirror.
Both keep layers, so a second build takes seconds.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STORE = ROOT / ".local" / "images"
#: The name that `make images` gives to the service's image.
IMAGE = "cloudscribe/ecs_service"
#: A base, a set of packages and a busy machine: seconds.
BUILD_SECONDS = 900

STAND_IN = "cloudscribe/stand-in-base"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
#: Debian's releases whose Python is new enough, the preferred one first.
RELEASES = ("bookworm", "trixie")
PUBLIC_MIRROR = "http://deb.debian.org/debian"

#: pip's settings that a build gets. Folders of this machine are left out: a build cannot see them.
PASSED_ON = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
#: Where the Dockerfiles mount the secret `certificates`.
CERTIFICATES = "/run/secrets/certificates.pem"


class CannotBuild(RuntimeError):
    """This machine cannot build images; the message names what is missing."""


@dataclass(frozen=True, slots=True)
class Docker:
    """A Docker engine."""

    program: str


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah, run as root on a store of its own."""

    program: str

    def call(self, *arguments: str) -> list[str]:
        """Return a call of buildah on the images of this tree."""
        places = ["--root", str(STORE / "storage"), "--runroot", str(STORE / "run")]
        return [self.program, *places, *arguments]

    def configuration(self, image: str) -> Mapping[str, Any]:
        """Return an image's configuration, with Docker's keys."""
        shown = run(self.call("inspect", "--type", "image", image))
        configuration: Mapping[str, Any] = json.loads(shown)["Docker"]["config"]
        return configuration


def find_builder() -> Docker | Buildah:
    """Return the builder of this machine.

    Raises:
        CannotBuild: there is none.
    """
    docker, buildah = shutil.which("docker"), shutil.which("buildah")
    if docker and succeeds([docker, "info"]):
        return Docker(docker)
    if not (buildah and shutil.which("debootstrap")):
        raise CannotBuild("there is no Docker engine: apt-get install buildah debootstrap")
    if os.geteuid() != 0:
        raise CannotBuild("there is no Docker engine, and buildah has to be run as root")
    return Buildah(buildah)


def build_image(builder: Docker | Buildah, space: Path) -> str:
    """Build the service's image and return its name; secrets of the build are kept in `space`."""
    options = list(secrets(space))
    if isinstance(builder, Buildah):
        install_stand_in(builder)
        options += ["--isolation", "chroot", "--network", "host", "--layers"]
        options += ["--build-arg", f"BASE=localhost/{STAND_IN}"]
    call = builder.call() if isinstance(builder, Buildah) else [builder.program]
    run(
        [
            *("make", "--no-print-directory", "-C", str(ROOT), "images"),
            *(f"CONTAINER_BUILD={' '.join(call)}", f"BUILD_OPTIONS={' '.join(options)}"),
        ]
    )
    return IMAGE


# --- the registry of packages ----------------------------------------------------------------


def secrets(space: Path) -> Iterator[str]:
    """Yield the options that let a build use this machine's registry of packages and certificates.

    An address may contain a password, hence files: a secret exists while a command of the build
    runs, and no layer contains it.
    """
    # The environment has no pip of its own; what it was made with has.
    listing = run([sys._base_executable, "-m", "pip", "config", "list"])  # type: ignore[attr-defined]  # no annotation
    certificates = os.environ.get("SSL_CERT_FILE")
    configuration = space / "pip.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(pip_configuration(listing, certificates=bool(certificates)))
    yield from ("--secret", f"id=pip,src={configuration}")
    if certificates:
        yield from ("--secret", f"id=certificates,src={certificates}")


def pip_configuration(listing: str, *, certificates: bool) -> str:
    """Return the pip.conf of a build, made from what `pip config list` prints on this machine."""
    settings: dict[str, str] = {"cert": CERTIFICATES} if certificates else {}
    # The environment overrides the section for `install`, which overrides the global one.
    for section in ("global", "install", ":env:"):
        for line in listing.splitlines():
            key, _, value = line.partition("=")
            found, _, name = key.rpartition(".")
            words = [word for word in str(ast.literal_eval(value)).split() if "file:" not in word]
            if found == section and name in PASSED_ON and words:
                settings[name] = " ".join(words)
    return "\n".join(["[global]", *(f"{name} = {each}" for name, each in settings.items()), ""])


# --- the stand-in for the base -----------------------------------------------------------------


def install_stand_in(buildah: Buildah) -> None:
    """Build the stand-in unless it exists. It takes a minute or two."""
    if succeeds(buildah.call("inspect", "--type", "image", STAND_IN)):
        return
    layout = "$(SITE)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
    targets = run(["apt-get", "indextargets", "--format", layout, "Identifier: Packages"])
    release, mirror = chosen_mirror(targets.splitlines())
    container = run(buildah.call("from", "scratch"))
    try:
        root = run(buildah.call("mount", container))
        include = f"--include={','.join(PACKAGES)}"
        run(["debootstrap", "--variant=minbase", include, release, root, mirror])
        shutil.rmtree(Path(root, "var/cache/apt"))
        run(buildah.call("commit", "--format", "docker", container, STAND_IN))
    finally:
        run(buildah.call("rm", container))


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


# --- programs ------------------------------------------------------------------------------------


def run(call: list[str]) -> str:
    """Run a program and return what it prints; a failure shows everything that it printed."""
    done = subprocess.run(
        call,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert done.returncode == 0, f"{call}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


def succeeds(call: list[str]) -> bool:
    """Run a program and return whether it ends with status 0."""
    return subprocess.run(call, capture_output=True, check=False, timeout=60).returncode == 0
