"""The smoke check against a whole demo: the command that the pipelines run."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from local_cloud.launcher.demo import DIST
from speech.engines.embedded import choose_embedded
from tests.integration.test_launcher import aws_of
from tests.support.demo import ready_demo

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (DIST / "index.html").exists(),
        reason="the web page is not built (make setup)",
    ),
]


async def smoke(folder: Path, *arguments: str) -> tuple[int | None, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.smoke", str(folder / "aws" / "cdk" / "outputs.json")),
        *("--json", *arguments),
        env=aws_of(folder),
        stdout=PIPE,
    )
    printed, _ = await process.communicate()
    return process.returncode, json.loads(printed)


async def test_a_demo_passes_and_one_whose_service_died_does_not(tmp_path: Path) -> None:
    async with ready_demo(tmp_path, engine=choose_embedded()) as demo:
        status, found = await smoke(tmp_path, "--url", demo.url)

        verdicts = {each["check"]: each["verdict"] for each in found["checks"]}
        assert verdicts == {
            "page": "ok",
            "access": "skipped",  # open
            "live": "ok",
            "recording": "ok",
            "gpu": "skipped",
        }, found
        assert status == 0

        status, found = await smoke(tmp_path, "--url", "http://127.0.0.1:9", "--patience", "0")
        assert status == 1
        assert found["checks"][0]["verdict"] == "failed"
