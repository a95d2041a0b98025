"""Builds the container images: `python -m scripts.images [--json] [FOLDER ...]`.

Every folder with a Dockerfile makes one image; without names all are built but those that are
built `ON_REQUEST`. Docker builds where
it answers, otherwise buildah (see `scripts.builders`). The image below is the public one that
the Dockerfile names, or a stand-in where that cannot be pulled (see `scripts.stand_in_base`).
What is current is not built again.

Exit status: 0, 1 a build failed, 2 wrong arguments, 3 this machine cannot build, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from scripts import builders, registry, stamps, stand_in_base
from scripts.builders import ROOT, STORE, Buildah, Builder, CannotBuild, Found, Order
from scripts.checks import GIB, SetupError, check_disk
from scripts.setup import SetUp, Step, Tools, alone
from scripts.terminal import say

EXIT_FAILURE = 1
EXIT_CANNOT_BUILD = 3
EXIT_INTERRUPTED = 130
STAND_IN = "stand-in"
#: Built only where it is named: gigabytes, for machines with a GPU.
ON_REQUEST = frozenset({"gpu_server"})
#: Room for a base, what is installed on it, and layers on the way, bytes.
DISK = 2 * GIB


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was asked for, as `--json` prints it."""

    folder: str
    image: str
    id: str
    #: Unpacked, bytes.
    size: int
    seconds: float
    builder: str
    base: str


def folders(root: Path = ROOT) -> list[str]:
    """Return the folders that have a Dockerfile."""
    return sorted(path.parent.name for path in root.glob("*/Dockerfile"))


def fingerprint(root: Path, order: Order, *facts: str) -> str:
    """Return a digest over all that an image is made of."""
    dockerfile = Path(order.folder, "Dockerfile")
    wanted = [root / dockerfile, root / ".dockerignore"]
    for name in builders.sources((root / dockerfile).read_text()):
        path = root / name
        wanted += stamps.sources(path, without=["__pycache__"]) if path.is_dir() else [path]
    arguments = (f"{name}={value}" for name, value in sorted(order.arguments.items()))
    return stamps.fingerprint(root, wanted, order.platform or "", *arguments, *facts)


class Workshop:
    """Builds with one builder, on what it finds to build on."""

    def __init__(
        self, builder: Builder, tools: Tools, base: str | None, arguments: Mapping[str, str]
    ) -> None:
        self._builder = builder
        self._tools = tools
        self._base = base
        self._arguments = arguments

    def build(self, folder: str, platform: str | None, secrets: Path) -> Built:
        """Build an image unless it is current.

        Raises:
            CannotBuild: there is nothing to build on.
            SetupError: the build failed.
        """
        began = time.monotonic()
        builder = self._builder
        order = Order(
            folder=folder,
            base=self._base_for(folder),
            platform=platform,
            arguments=self._arguments,
            secrets=registry.secrets(secrets),
        )
        call = builder.command(order)
        below = self._identity(order.base)
        log = f"image-{folder}"
        self._make(
            order.image,
            log,
            lambda: fingerprint(ROOT, order, builder.name, below),
            lambda tools: tools.run(log, call),
        )
        found = builder.find(order.image)
        if found is None:
            raise SetupError(f"{builder.name} has built no {order.image}")
        return Built(
            folder=folder,
            image=order.image,
            id=found.id,
            size=found.size,
            seconds=round(time.monotonic() - began, 1),
            builder=builder.name,
            base=order.base or "of the Dockerfile",
        )

    def _base_for(self, folder: str) -> str | None:
        """Return the image to build on; None leaves it to the Dockerfile."""
        builder = self._builder
        if not isinstance(builder, Buildah):
            return self._base
        own = builders.default_base((ROOT / folder / "Dockerfile").read_text())
        named = self._base or own
        if named is None:
            return None
        if named != STAND_IN:
            if builder.find(named) or builder.pull(named):
                return named
            if self._base is not None:
                raise CannotBuild(f"The base image {named} cannot be pulled")
            say(f"The public base image {named} cannot be pulled; a stand-in takes its place.")
        debootstrap = stand_in_base.program()
        self._make(
            stand_in_base.NAME,
            stand_in_base.LOG,
            lambda: "made once",
            lambda tools: stand_in_base.make(builder, debootstrap, tools),
        )
        return f"localhost/{stand_in_base.NAME}"

    def _identity(self, base: str | None) -> str:
        found: Found | None = self._builder.find(base) if base else None
        return found.id if found else base or ""

    def _make(
        self, image: str, log: str, inputs: Callable[[], str], run: Callable[[Tools], None]
    ) -> None:
        """Make an image unless it is there and was made from the same."""
        stamp = STORE / f"{log}.stamp"
        if self._builder.find(image) is None:
            stamp.unlink(missing_ok=True)
        step = Step(log, f"image {image}", stamp, inputs, (), run)
        for error in SetUp(self._tools).run([(step,)]):
            raise error


def build(
    names: Iterable[str], *, base: str | None, platform: str | None, arguments: Mapping[str, str]
) -> list[Built]:
    """Build images one after the other.

    Raises:
        CannotBuild: this machine cannot.
        SetupError: a build failed.
    """
    builder = builders.builder()
    if base == STAND_IN and not isinstance(builder, Buildah):
        raise CannotBuild("A stand-in for the base image is made for buildah only")
    STORE.mkdir(parents=True, exist_ok=True)
    check_disk(os.statvfs(STORE).f_bavail * os.statvfs(STORE).f_frsize, DISK, STORE)
    workshop = Workshop(builder, Tools(ROOT / ".local" / "logs"), base, arguments)
    built = []
    with alone(STORE / "lock"):
        for name in names:
            with tempfile.TemporaryDirectory() as secrets:
                built.append(workshop.build(name, platform, Path(secrets)))
            say(described(built[-1]))
    return built


def described(built: Built) -> str:
    """Return a line for people."""
    return (
        f"{built.image}: {built.size / 1e6:.0f} MB, {built.id.removeprefix('sha256:')[:12]}, "
        f"by {built.builder} on {built.base} in {built.seconds:.0f} s"
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _arguments(known: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.images", description="Build images.")
    parser.add_argument("names", nargs="*", metavar="FOLDER", help=f"of {', '.join(known)}")
    parser.add_argument("--json", action="store_true", help="print what was built as JSON")
    parser.add_argument("--platform", help="such as linux/arm64, with Docker; default: this one")
    parser.add_argument(
        "--base", help=f"an image to build on, or {STAND_IN}; default: the Dockerfile's own"
    )
    parser.add_argument(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="values",
        help="a value for the Dockerfile, such as MODEL=large-v3; may be given more than once",
    )
    arguments = parser.parse_args()
    for value in arguments.values:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", value):
            parser.error(f"--build-arg {value}: it is to be NAME=VALUE")
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"no Dockerfile in {', '.join(unknown)}; there is one in {', '.join(known)}")
    arguments.names = arguments.names or [name for name in known if name not in ON_REQUEST]
    return arguments


def main() -> int:
    """Build what the command line names; return the exit status."""
    known = folders()
    arguments = _arguments(known)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # What is for machines to read has the standard output for itself.
        with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
            built = build(
                arguments.names,
                base=arguments.base,
                platform=arguments.platform,
                arguments=dict(value.split("=", maxsplit=1) for value in arguments.values),
            )
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. Run the same command again to go on.\n")
        return EXIT_INTERRUPTED
    except SetupError as error:
        sys.stderr.write(f"\n{error}\n")
        return EXIT_CANNOT_BUILD if isinstance(error, CannotBuild) else EXIT_FAILURE
    if arguments.json:
        sys.stdout.write(f"{json.dumps([asdict(each) for each in built])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
