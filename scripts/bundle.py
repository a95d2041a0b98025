"""Makes what the CDK deploys of `lambdas/`: `python -m scripts.bundle [functions | layer]`.

    build/functions/NAME   the sources of a function, for each folder with a handler.py
    build/layer/python     its locked dependencies, for Lambda's arm64, and their bytecode

The same sources and the same lock give the same bytes wherever they are bundled: only what is
needed is taken, and nothing of the machine is left in it. The CDK names an archive by a digest
of names and contents, so a function gets a new version only when it changed. No Docker: uv picks
packages that are ready for Lambda's machine, and never builds one.

Everything is made in a folder of its own and then renamed, so what is in `build/` is whole.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts import botocore_data

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
FUNCTIONS = BUILD / "functions"
LAYER = BUILD / "layer"
COMPILER = ROOT / "scripts" / "bytecode"
REQUIREMENTS = ROOT / "lambdas" / "requirements.txt"

#: What functions run on; `infra.common.functions.RUNTIME` says the same to AWS.
PYTHON = "3.14"
PLATFORM = "aarch64-manylinux2014"

#: 1980-01-01 in UTC, where the time of zip archives begins.
EPOCH = 315_532_800

#: What installers leave for themselves: locks, the way back, where it all came from.
_TRACES = re.compile(
    r"bin|\.lock|.*/__pycache__|.*\.pyc|.*\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json"
    r"|uv_cache\.json|uv_build\.json)"
)


def names(root: Path = ROOT) -> list[str]:
    """Return the functions: folders of `lambdas/` with a handler."""
    return sorted(handler.parent.name for handler in root.glob("lambdas/*/handler.py"))


def sources(root: Path, name: str) -> list[Path]:
    """Return the files that a function consists of: its own, and what functions share."""
    folders = (root / "lambdas" / name, root / "foundation", root / "transcripts")
    found = [path for folder in folders for path in folder.rglob("*.py")]
    return sorted([*(root / "lambdas").glob("*.py"), *found])


def bundle_functions(root: Path = ROOT, target: Path = FUNCTIONS) -> None:
    """Make `target` with a folder for each function; what is no function any more goes."""

    def fill(folder: Path) -> None:
        for name in names(root):
            for path in sources(root, name):
                copy = folder / name / path.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)

    _make(target, fill)


def bundle_layer(
    install: Callable[[Path], None], compile_: Callable[[Path], None], target: Path = LAYER
) -> None:
    """Make `target` as Lambda unpacks a layer.

    Args:
        install: puts packages into a folder.
        compile_: puts their bytecode there. Lambda cannot keep what it compiles, so that each cold
            start would compile everything.
        target: the folder to make.
    """

    def fill(folder: Path) -> None:
        packages = folder / "python"
        install(packages)
        _strip(packages)
        if (data := packages / "botocore" / "data").is_dir():
            botocore_data.slim(data)
        compile_(packages)

    _make(target, fill)


def install(folder: Path) -> None:
    """Put the locked packages into `folder`, by uv or else by pip, which knows `pip.conf`.

    Raises:
        subprocess.CalledProcessError: neither could; their output says why.
    """
    try:
        subprocess.run(uv_call(folder), check=True)  # noqa: S603 - the environment's own uv
    except subprocess.CalledProcessError:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(pip_call(folder), check=True)  # noqa: S603 - the environment's own pip


def uv_call(folder: Path, requirements: Path = REQUIREMENTS) -> list[str]:
    """Return the call of uv that puts packages for Lambda's machine into `folder`."""
    return [
        *(str(Path(sys.executable).with_name("uv")), "pip", "install", "--link-mode", "copy"),
        *("--python-platform", PLATFORM, "--python-version", PYTHON),
        *_COMMON,
        *("--target", str(folder), "--requirement", str(requirements)),
    ]


def pip_call(folder: Path, requirements: Path = REQUIREMENTS) -> list[str]:
    """Return the call of pip that does the same."""
    architecture, _, system = PLATFORM.partition("-")
    return [
        *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"),
        *("--platform", f"{system}_{architecture}", "--python-version", PYTHON),
        *("--implementation", "cp", *_COMMON),
        *("--target", str(folder), "--requirement", str(requirements)),
    ]


_COMMON = ("--only-binary", ":all:", "--require-hashes", "--no-deps")


def compile_packages(folder: Path) -> None:
    """Put the bytecode of packages beside their sources, by the functions' Python.

    Raises:
        subprocess.CalledProcessError: it could not; its output says why.
    """
    node = shutil.which("node") or "node"
    call = [node, str(COMPILER / "compile.mjs"), PYTHON, str(folder)]
    subprocess.run(call, check=True)  # noqa: S603 - our own program


def _strip(folder: Path) -> None:
    """Remove traces of the installer."""
    for path in [*folder.rglob("*")]:
        if _TRACES.fullmatch(path.relative_to(folder).as_posix()):
            _remove(path)


def _make(target: Path, fill: Callable[[Path], None]) -> None:
    """Have `fill` make a folder, and put it in the place of `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as space:
        fresh = Path(space, "new")
        fresh.mkdir()
        fill(fresh)
        for path in _below(fresh):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (EPOCH, EPOCH))
        if target.exists():
            target.rename(Path(space, "old"))
        fresh.rename(target)


def _below(folder: Path) -> Iterator[Path]:
    # The innermost first: what is written in a folder changes its time.
    yield from sorted(folder.rglob("*"), reverse=True)
    yield folder


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> int:
    """Make what the command line names, or everything; return the exit status."""
    wanted = sys.argv[1:] or ["functions", "layer"]
    if unknown := set(wanted) - {"functions", "layer"}:
        sys.stderr.write(f"Unknown: {', '.join(sorted(unknown))}; known are functions, layer\n")
        return 2
    if "functions" in wanted:
        bundle_functions()
    if "layer" in wanted:
        bundle_layer(install, compile_packages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
