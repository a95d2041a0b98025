"""Whether models can use a GPU, and the reason if they cannot.

CTranslate2 reports zero GPUs for every error of CUDA: no device, no driver, a driver that is too
old, or a container without the device. This module then looks for the reason.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: The timeout of `nvidia-smi`, which waits for a driver that hangs, seconds.
TOOL_SECONDS: Final = 5.0
#: The most characters that are quoted of a tool's output.
_QUOTED: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """Facts about this machine that show why no GPU can be used."""

    #: Whether there are NVIDIA device files.
    devices: bool
    #: Whether the kernel driver is loaded.
    driver: bool
    #: The output of `nvidia-smi`; None where it is not installed or does not answer.
    tool: str | None
    #: CUDA's error.
    cuda: str | None


def count_gpus() -> int:
    """Return the number of usable GPUs."""
    import ctranslate2  # noqa: PLC0415 - only where a model may use one

    return int(ctranslate2.get_cuda_device_count())


def inspect() -> GpuState:
    """Collect the facts about this machine; takes seconds at most."""
    return GpuState(
        devices=any(Path("/dev").glob("nvidia[0-9]*")),
        driver=Path("/proc/driver/nvidia/version").exists(),
        tool=_run_tool(),
        cuda=_ask_cuda(),
    )


def explain(found: GpuState) -> str:
    """Explain why no GPU can be used, and what to do."""
    if found.devices:
        cause = (
            "there is an NVIDIA device, and CUDA cannot use it: its driver is broken, too old, or "
            "closed to this user"
        )
    elif found.driver:
        cause = (
            "the NVIDIA driver is loaded, and there is no device here: start the container with "
            "the GPU (docker run --gpus all; on ECS a resource requirement of type GPU)"
        )
    else:
        cause = (
            "there is no NVIDIA device here, and no driver is loaded: this is no machine with one, "
            "or its driver is not installed"
        )
    reports = [
        f"{who}: {words}"
        for who, words in (("CUDA", found.cuda), ("nvidia-smi", found.tool))
        if words
    ]
    return "; ".join([cause, *reports])


def _run_tool() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        process = subprocess.Popen(  # noqa: S603 - the first one in PATH, as anybody would run it
            [tool, "--list-gpus"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError:
        return None
    with process.stdout or nullcontext():
        try:
            printed, _ = process.communicate(timeout=TOOL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # a driver that hangs keeps it from ending
                process.wait(timeout=1.0)
            return None
    return _quote(printed.decode(errors="replace")) or None


def _ask_cuda() -> str | None:
    import ctranslate2  # noqa: PLC0415 - as above

    try:
        ctranslate2.get_supported_compute_types("cuda")  # unlike the count it raises CUDA's error
    except (RuntimeError, ValueError) as error:
        return _quote(str(error))
    return None


def _quote(words: str) -> str:
    """Return the output of a tool as one short line of printable characters."""
    line = " ".join(words.split())
    return "".join(each for each in line if each.isprintable())[:_QUOTED]
