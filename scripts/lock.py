"""`make lock`: writes every locked requirements file from pyproject.toml's groups.

One resolution at the top decides; the deployables take their part of it as constraints, so
that what runs in the cloud is what ran on the developer's machine. The emulator is the
exception: it pins a botocore of its own and lives in an environment of its own.

A lock is kept as it is as long as it satisfies pyproject.toml; `--upgrade` looks for newer
versions.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.11"
TOP = "requirements.txt"


@dataclass(frozen=True)
class Lock:
    """A requirements file, the groups it is made of, and whether it follows the top one."""

    path: str
    groups: tuple[str, ...]
    constrained: bool = True


LOCKS = (
    Lock(
        TOP,
        ("service", "functions", "infra", "client", "transcriber", "endpoint"),
        constrained=False,
    ),
    Lock("requirements-dev.txt", ("dev", "whisper")),
    Lock("ecs_service/requirements.txt", ("service",)),
    Lock("gpu_server/requirements.txt", ("transcriber",)),
    Lock("gpu_server/requirements-whisper.txt", ("transcriber", "whisper")),
    Lock("gpu_server/requirements-faster-whisper.txt", ("transcriber", "whisper", "cuda")),
    Lock("gpu_server/requirements-whisperx.txt", ("transcriber", "whisperx")),
    Lock("lambdas/requirements.txt", ("functions",)),
    Lock("infra/requirements.txt", ("infra",)),
    Lock("client/requirements.txt", ("client",)),
    Lock("local_cloud/emulator-requirements.txt", ("emulator",), constrained=False),
)


def command(uv: str, lock: Lock, *, upgrade: bool) -> list[str]:
    """Return the call that writes `lock`. No registry's address gets into the file."""
    groups = [word for group in lock.groups for word in ("--group", group)]
    return [
        *(uv, "pip", "compile", "pyproject.toml", *groups, "--output-file", lock.path),
        *("--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes", "--quiet"),
        *("--no-header", "--no-emit-index-url", "--no-emit-find-links"),
        *(("--constraint", TOP) if lock.constrained else ()),
        *(("--upgrade",) if upgrade else ()),
    ]


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


def main() -> int:
    """Write all locks; return the exit status."""
    uv = str(Path(sys.executable).with_name("uv"))
    for lock in LOCKS:
        sys.stdout.write(f"Locking {lock.path} ...\n")
        sys.stdout.flush()
        done = subprocess.run(  # noqa: S603 - a fixed call of the environment's own uv
            command(uv, lock, upgrade="--upgrade" in sys.argv[1:]), cwd=ROOT, check=False
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
