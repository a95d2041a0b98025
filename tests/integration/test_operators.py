"""Operators' commands against a demo with accounts: invite a person, and try the deployment."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest

from local_cloud.accounts.pool import NAME
from local_cloud.accounts.setup import SOURCES
from local_cloud.launcher.demo import DIST
from tests.integration.test_accounts import signed_in
from tests.integration.test_launcher import aws_of
from tests.support.demo import RunningDemo, ready_demo

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (DIST / "index.html").exists() or not SOURCES.is_dir(),
        reason="the page or the API's function is not built (make setup)",
    ),
]

EVE = "eve@example.com"


async def run(folder: Path, *arguments: str, **variables: str) -> tuple[int | None, Any]:
    """Run a command of operators with `--json`; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments, "--json"),
        env=aws_of(folder) | variables,
        stdout=PIPE,
    )
    printed, _ = await process.communicate()
    return process.returncode, json.loads(printed)


async def try_out(
    folder: Path, demo: RunningDemo, outputs: Path, **variables: str
) -> tuple[int | None, dict[str, str]]:
    status, found = await run(
        folder, "scripts.smoke", str(outputs), "--url", demo.url, "--patience", "0", **variables
    )
    return status, {each["check"]: each["verdict"] for each in found["checks"]}


def write_outputs(folder: Path) -> Path:
    """Return outputs that name the API's own address, and no bucket."""
    aws = aws_of(folder)
    api = boto3.client(
        "apigatewayv2",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator asks for none
    )
    (found,) = api.get_apis()["Items"]
    url = f"{aws['AWS_ENDPOINT_URL']}/_aws/execute-api/{found['ApiId']}/$default"
    path = folder / "outputs.json"
    path.write_text(json.dumps({"web": {"ApiUrl": url}}))
    return path


async def test_a_person_is_invited_and_a_key_tries_what_strangers_cannot(tmp_path: Path) -> None:
    async with ready_demo(tmp_path, access="accounts") as demo, aiohttp.ClientSession() as client:
        await demo.until("Nobody sends invitations")

        invite = ("infra.commands.invite", "local", EVE, "--pool-name", NAME)
        status, invited = await run(tmp_path, *invite, "--administrator")
        assert (status, invited["state"], invited["isAdministrator"]) == (0, "invited", True)
        assert (await run(tmp_path, *invite))[1]["state"] == "waiting"
        ada = await signed_in(demo, client, "ada@example.com")
        people = (await ada.done("GET", "/people"))["people"]
        (eve,) = [person for person in people if person["email"] == EVE]
        assert (eve["isAdministrator"], eve["hasJoined"]) == (True, False)
        mail = f"{aws_of(tmp_path)['AWS_ENDPOINT_URL']}/_ministack/ses/messages"
        async with client.get(mail) as answer:
            assert EVE in await answer.text()

        outputs = await asyncio.to_thread(write_outputs, tmp_path)
        rest = {"recording": "skipped", "gpu": "skipped"}
        assert await try_out(tmp_path, demo, outputs) == (
            0,
            {"page": "ok", "access": "ok", "live": "skipped", **rest},
        )

        made = await ada.done(
            "POST", "/keys", {"label": "smoke", "scopes": ["manage", "read", "speak"]}
        )
        key = {"CLOUDSCRIBE_API_KEY": made["secret"]}
        for _ in range(2):
            status, verdicts = await try_out(tmp_path, demo, outputs, **key)
            assert (status, verdicts["live"]) == (0, "ok")
        # The second time it speaks where it did before.
        assert len((await ada.done("GET", "/conversations"))["conversations"]) == 1

        listening = await ada.done("POST", "/keys", {"label": "listens", "scopes": ["read"]})
        key = {"CLOUDSCRIBE_API_KEY": listening["secret"]}
        status, verdicts = await try_out(tmp_path, demo, outputs, **key)
        assert (status, verdicts["live"]) == (1, "failed")
