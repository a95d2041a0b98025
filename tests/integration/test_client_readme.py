"""The programs that the README shows, as a reader copies them."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.service import ROOT, RunningService, running_service

pytestmark = pytest.mark.integration

README = (ROOT / "README.md").read_text()
#: Each program under the name that the text before it gives.
PROGRAMS = dict(
    re.findall(r"`((?:speak|watch)\.\w+)`: [^\n]+\n\n```\w+\n(.*?)```", README, re.DOTALL)
)


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[RunningService]:
    async with running_service() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, program in PROGRAMS.items():
        (tmp_path / name).write_text(program)
    with wave.open(str(tmp_path / "talk.wav"), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8_000)
        audio.writeframes(bytes(2 * 8_000 * 2))  # two seconds: five scripted words
    return tmp_path


def runner(name: str) -> list[str]:
    """Return what runs a program."""
    if name.endswith(".py"):
        return [sys.executable, "-W", "error"]
    return ["node"]


async def started(url: str, folder: Path, name: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(*runner(name), name, *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "CLOUDSCRIBE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("suffix", [".py", ".mjs"])
async def test_what_one_program_speaks_another_one_reads(
    service: RunningService, folder: Path, suffix: str
) -> None:
    watching = await started(service.url, folder, f"watch{suffix}", f"talk{suffix}")
    try:
        async with asyncio.timeout(60):
            speaking = await started(
                service.url, folder, f"speak{suffix}", f"talk{suffix}", "talk.wav"
            )
            out, err = await speaking.communicate()
            assert speaking.returncode == 0, err.decode()
            assert watching.stdout is not None
            read = await watching.stdout.readline()
    finally:
        watching.kill()
        await watching.communicate()

    printed = out.decode().splitlines()
    assert len(printed) == 1
    assert len(printed[0].split()) == 5
    assert read.decode() == f"{'Ada' if suffix == '.py' else 'Bob'}: {printed[0]}\n"


@pytest.mark.parametrize("name", ["watch.py", "watch.mjs"])
async def test_a_refusal_ends_a_program_with_its_reason(
    service: RunningService, folder: Path, name: str
) -> None:
    async with asyncio.timeout(60):
        process = await started(service.url, folder, name, "my meeting")
        _, err = await process.communicate()

    assert process.returncode == 1
    assert "conversationId: must be 1 to 128 letters, digits" in err.decode()
