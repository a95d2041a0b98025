"""Builds what the CDK deploys of `lambdas/`: `python -m scripts.bundle [functions | layer]`.

    build/functions/NAME   the sources of a function, for each folder with a handler.py
    build/layer/python     its locked dependencies, for Lambda's arm64, and their bytecode

The same sources, lock and CPython release give the same bytes on every machine: a bundle holds only
what a function needs and no trace of the machine. The CDK names an archive by a digest of names and
contents, so a function gets a new version only when it changed. Docker is not needed: uv selects
wheels for Lambda's machine and builds none.

Each bundle is written to a temporary folder and then renamed, so `build/` never holds half of one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from scripts import botocore_data

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
FUNCTIONS = BUILD / "functions"
LAYER = BUILD / "layer"
REQUIREMENTS = ROOT / "lambdas" / "requirements.txt"

#: The functions' Python; `infra.common.functions.RUNTIME` is the same version.
PYTHON = "3.13"
PLATFORM = "aarch64-manylinux2014"

#: The rooms that every function gets, and those that some get besides: with another one, a
#: function is another version whenever that room changes.
SHARED = ("foundation", "transcripts")
MORE = {"api": ("access",)}

#: 1980-01-01 in UTC, the earliest time that a zip archive can hold.
EPOCH = 315_532_800

#: Where Lambda unpacks the layer's packages; tracebacks show these paths.
PACKAGES = "/opt/python"
#: Printed where no interpreter compiles the layer. Measured by benchmarks/router.py.
NO_BYTECODE = (
    f"Note: no Python {PYTHON} was found, so the layer has no bytecode: each cold start compiles "
    "its packages, and the router's import takes 1 s instead of 0.4 s.\n"
)

#: What installers leave behind: locks, scripts, and records of where a package came from.
_TRACES = re.compile(
    r"bin|\.lock|.*/__pycache__|.*\.pyc|.*\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json"
    r"|uv_cache\.json|uv_build\.json)"
)


def names(root: Path = ROOT) -> list[str]:
    """Return the names of the functions: the folders of `lambdas/` with a handler."""
    return sorted(handler.parent.name for handler in root.glob("lambdas/*/handler.py"))


def sources(root: Path, name: str) -> list[Path]:
    """Return the source files of a function: its own and those that functions share."""
    shared = (*SHARED, *MORE.get(name, ()))
    folders = (root / "lambdas" / name, *(root / folder for folder in shared))
    found = [path for folder in folders for path in folder.rglob("*.py")]
    return sorted([*(root / "lambdas").glob("*.py"), *found])


def bundle_functions(root: Path = ROOT, target: Path = FUNCTIONS) -> None:
    """Build `target` with one folder for each function; folders of removed functions disappear."""

    def fill(folder: Path) -> None:
        for name in names(root):
            for path in sources(root, name):
                copy = folder / name / path.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)

    _make(target, fill)


def bundle_layer(
    install: Callable[[Path], None],
    compile_: Callable[[Path], None] | None,
    target: Path = LAYER,
) -> None:
    """Build `target` as Lambda unpacks a layer.

    Args:
        install: installs packages into a folder.
        compile_: compiles them there. Lambda's disk is read-only: without bytecode each cold start
            compiles everything again. None leaves the bytecode out.
        target: the folder to build.
    """

    def fill(folder: Path) -> None:
        packages = folder / "python"
        install(packages)
        _strip(packages)
        if (data := packages / "botocore" / "data").is_dir():
            botocore_data.slim(data)
        if compile_:
            compile_(packages)

    _make(target, fill)


def install(folder: Path) -> None:
    """Install the locked packages into `folder`.

    Raises:
        subprocess.CalledProcessError: uv failed; its output says why.
    """
    subprocess.run(uv_call(folder), check=True)  # noqa: S603 - the environment's own uv


def uv_call(folder: Path, requirements: Path = REQUIREMENTS) -> list[str]:
    """Return the uv command that installs packages for Lambda's machine into `folder`."""
    return [
        *(_uv(), "pip", "install", "--link-mode", "copy"),
        *("--python-platform", PLATFORM, "--python-version", PYTHON),
        *("--only-binary", ":all:", "--require-hashes", "--no-deps"),
        *("--target", str(folder), "--requirement", str(requirements)),
    ]


def find_interpreter() -> str | None:
    """Return an interpreter of the functions' Python on this machine, None where there is none.

    uv searches, but it gives up at a `python3.13` that does not run, such as a version manager's
    shim. A folder with such a shim is left out; pyenv's shim runs the version in `PYENV_VERSION`.
    """
    environment = {**os.environ, "PYENV_VERSION": PYTHON}
    folders = [
        folder
        for folder in os.get_exec_path()
        if not (python := Path(folder, f"python{PYTHON}")).exists()
        or _output([str(python), "-c", ""], environment) is not None
    ]
    environment["PATH"] = os.pathsep.join(folders)
    call = [_uv(), "python", "find", "--no-project", "--no-python-downloads", f"cpython@{PYTHON}"]
    return _output(call, environment)


def _output(call: list[str], environment: dict[str, str]) -> str | None:
    """Return what a program prints, None where it fails or is missing."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - uv, or a Python of this machine
        return done.stdout.strip()
    return None


def compile_packages(folder: Path, interpreter: str) -> None:
    """Compile packages beside their sources.

    Python compares the time of a source with the one in its bytecode, and the time differs in
    Lambda. The bytecode is therefore marked as unchecked (PEP 552). One process compiles everything
    in a fixed order with fixed hashes, so that two runs give the same bytes.

    Raises:
        subprocess.CalledProcessError: a package does not compile; the output says which.
    """
    call = [interpreter, "-P", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run(  # noqa: S603 - a Python of this machine
        [*call, "-s", str(folder), "-p", PACKAGES, str(folder)],
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        | {"PYTHONHASHSEED": "0"},
        check=True,
    )


def _uv() -> str:
    """Return the uv of this environment, or else the one on the PATH."""
    folders = [str(Path(sys.executable).parent), *os.get_exec_path()]
    return shutil.which("uv", path=os.pathsep.join(folders)) or "uv"


def _strip(folder: Path) -> None:
    """Remove what the installer left behind."""
    for path in [*folder.rglob("*")]:
        if not _TRACES.fullmatch(path.relative_to(folder).as_posix()):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _make(target: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` fill a new folder, then replace `target` by it."""
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
    # The innermost first: a change in a folder updates the folder's time.
    yield from sorted(folder.rglob("*"), reverse=True)
    yield folder


def main() -> int:
    """Build what the command line names, or everything; return the exit status."""
    wanted = sys.argv[1:] or ["functions", "layer"]
    if unknown := set(wanted) - {"functions", "layer"}:
        sys.stderr.write(f"Unknown: {', '.join(sorted(unknown))}; known are functions, layer\n")
        return 2
    if "functions" in wanted:
        bundle_functions()
    if "layer" in wanted:
        interpreter = find_interpreter()
        if interpreter is None:
            sys.stderr.write(NO_BYTECODE)
        bundle_layer(
            install, partial(compile_packages, interpreter=interpreter) if interpreter else None
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
