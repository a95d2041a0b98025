"""The GPU images: what is in which layer, and that both can be built from what is locked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpu_server.image.layer import LAYERS, part
from tests.support.locks import block, pins

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "gpu_server" / "Dockerfile").read_text()
TRANSCRIBERS = ("faster-whisper", "whisperx")


def locked(transcriber: str) -> str:
    return (ROOT / "gpu_server" / f"requirements-{transcriber}.txt").read_text()


@pytest.mark.parametrize("transcriber", TRANSCRIBERS)
def test_every_package_is_in_one_layer_with_its_digests(transcriber: str) -> None:
    parts = [part(number, locked(transcriber)) for number in range(len(LAYERS))]

    found = [pin for each in parts for pin in pins(each)]
    assert sorted(found) == sorted(pins(locked(transcriber)))
    whole = "".join(parts)
    assert all("--hash=sha256:" in block(whole, name) for name, _, _ in found)


def test_every_layer_is_made() -> None:
    made = re.findall(r"layer\.py \\\n\s+(\d) ", DOCKERFILE)

    assert made == [str(number) for number in range(len(LAYERS))]


def test_every_name_of_a_layer_is_a_package_of_whisperx() -> None:
    packages = {name for name, _, _ in pins(locked("whisperx"))}

    assert {name for names in LAYERS for name in names} <= packages


def test_the_smaller_image_has_cublas_and_nothing_of_torch() -> None:
    packages = {name for name, _, _ in pins(locked("faster-whisper"))}

    assert {"faster-whisper", "ctranslate2", "nvidia-cublas-cu12"} <= packages
    assert {name for name in packages if name.startswith("nvidia-")} == {"nvidia-cublas-cu12"}
    assert not packages & {"torch", "torchaudio", "whisperx", "triton"}


def test_both_images_have_the_same_cublas_where_the_linker_looks() -> None:
    versions = {
        version
        for transcriber in TRANSCRIBERS
        for name, version, _ in pins(locked(transcriber))
        if name == "nvidia-cublas-cu12"
    }

    assert len(versions) == 1
    assert "LD_LIBRARY_PATH=/opt/venv/packages/nvidia/cublas/lib" in DOCKERFILE
