"""Installs one layer of the locked packages into the image: `layer.py NUMBER REQUIREMENTS`.

Docker downloads each layer of an image in a thread of its own. So the largest packages get layers
of their own (`LAYERS`, some 600 to 900 MB each for WhisperX), and all others share the last one. A
layer whose packages are not in the file is empty.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

#: The names of the packages in each layer; packages without a layer are in the last one.
LAYERS = (
    ("nvidia-cublas-cu12",),
    ("nvidia-cudnn-cu12",),
    ("torch",),
    ("nvidia-nccl-cu12", "nvidia-cusparselt-cu12"),
    ("nvidia-cufft-cu12", "nvidia-cusolver-cu12", "nvidia-cusparse-cu12", "triton"),
    (),
)


def part(number: int, requirements: str) -> str:
    """Return the requirements of one layer with their digests, as a requirements file."""
    blocks = re.findall(r"^[a-z0-9].*(?:(?<=\\)\n.*)*", requirements, re.MULTILINE)
    named = {name: index for index, names in enumerate(LAYERS) for name in names}
    return "".join(
        f"{block}\n"
        for block in blocks
        if named.get(block.partition("==")[0], len(LAYERS) - 1) == number
    )


def main(number: int, requirements: Path) -> int:
    """Install a layer into the running Python's environment; return the exit status."""
    chosen = part(number, requirements.read_text(encoding="utf-8"))
    if not chosen:
        return 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(chosen)
        file.flush()
        pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir"]
        pip += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
        pip += ["--require-hashes", "--requirement", file.name]
        return subprocess.run(pip, check=False).returncode  # noqa: S603 - pip, on a locked file


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
