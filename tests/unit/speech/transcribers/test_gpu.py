"""Why no GPU can be used, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from speech.transcribers import gpu, whisper
from speech.transcribers.gpu import GpuState, explain

pytestmark = pytest.mark.unit

NOTHING = GpuState(devices=False, driver=False, tool=None, cuda=None)


@pytest.mark.parametrize(
    ("devices", "driver", "words"),
    [
        (False, False, "no NVIDIA device here, and no driver is loaded"),
        (False, True, "start the container with the GPU"),
        (True, True, "CUDA cannot use it"),
        (True, False, "CUDA cannot use it"),
    ],
)
def test_the_likely_cause_is_named(words: str, *, devices: bool, driver: bool) -> None:
    explanation = explain(GpuState(devices=devices, driver=driver, tool=None, cuda="CUDA failed"))

    assert words in explanation
    assert explanation.endswith("; CUDA: CUDA failed")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo NVIDIA-SMI has failed\necho  '\033[1mbecause' >&2\nexit 9",
         "NVIDIA-SMI has failed [1mbecause"),
        ("head -c 100000 /dev/zero | tr '\\0' x", "x" * 300),
        ("sleep 60", None),
        ("", None),
    ],
)  # fmt: skip
def test_what_the_tool_prints_is_quoted_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str | None
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(gpu, "TOOL_SECONDS", 0.5)
    monkeypatch.setattr("shutil.which", lambda _name: str(tool))

    assert gpu.inspect().tool == words


def test_a_gpu_that_is_there_and_is_not_used_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(**what: Any) -> None:
        state = GpuState(**{"tool": None, "cuda": None, **what})
        monkeypatch.setattr(gpu, "inspect", lambda: state)

    monkeypatch.setattr(gpu, "count_gpus", lambda: 0)
    found(devices=True, driver=True)
    assert whisper.choose_device("auto") == "cpu"
    assert "gpu_not_used" in capsys.readouterr().out
    found(devices=False, driver=False)
    assert whisper.choose_device("auto") == "cpu"
    assert "gpu_not_used" not in capsys.readouterr().out
