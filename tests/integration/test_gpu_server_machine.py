"""What the server sends to ECS, and learns of Spot: local addresses, as AWS offers them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from gpu_server.host import protection
from gpu_server.host.protection import LINGER, MINUTES, protect_while_busy
from gpu_server.host.spot import wait_for_spot_notice
from tests.support.eventually import eventually
from tests.support.gpu_server import gpu_server_process
from tests.support.service import RunningService

pytestmark = pytest.mark.integration


@dataclass
class Work:
    idle: float = 1000.0


@contextlib.asynccontextmanager
async def protecting(
    work: Work, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
) -> AsyncIterator[None]:
    async with RawTestServer(answer) as agent:
        url = str(agent.make_url("/v3/abc"))
        task = asyncio.create_task(protect_while_busy(url, lambda: work.idle, look=0.001))
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):  # nothing else ended it
                await task


async def test_a_task_is_protected_while_it_works_and_not_longer() -> None:
    asked = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append((request.method, request.path, await request.json()))
        return web.json_response({"protection": {"ProtectionEnabled": True}})

    work = Work()
    async with protecting(work, answer):
        work.idle = 0
        await eventually(lambda: len(asked) == 1, "it is protected")
        work.idle = LINGER
        await eventually(lambda: len(asked) == 2, "it is not protected any more")

    where = ("PUT", "/v3/abc/task-protection/v1/state")
    assert asked == [
        (*where, {"ProtectionEnabled": True, "ExpiresInMinutes": MINUTES}),
        (*where, {"ProtectionEnabled": False}),
    ]


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (lambda: web.json_response({"failure": {"Reason": "TASK_NOT_VALID"}}), "TASK_NOT_VALID"),
        (
            lambda: web.json_response({"error": {"Code": "AccessDeniedException"}}, status=400),
            "AccessDeniedException",
        ),
        (lambda: web.json_response(["?"]), "not understood"),
        (lambda: web.Response(text="<html>", status=502), "502"),
        (lambda: web.json_response({}, status=500), "500"),
    ],
)
async def test_a_refusal_is_logged_and_retried(
    refusal: Callable[[], web.Response],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(protection, "AGAIN", 0)
    asked = []

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        asked.append(1)
        return refusal()

    async with protecting(Work(idle=0), answer):
        await eventually(lambda: len(asked) > 2, "it is asked again")

    logged = capsys.readouterr().out
    assert "task_protection_refused" in logged
    assert reason in logged


async def test_the_notice_of_spot_ends_the_wait_and_its_absence_does_not() -> None:
    notices = [
        web.HTTPInternalServerError(),
        web.HTTPNotFound(),
        web.Response(text='{"action": "terminate"}'),
    ]
    looks = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/latest/api/token":
            assert request.method == "PUT"
            return web.Response(text="ticket")
        looks.append(request.path)
        assert request.headers["X-aws-ec2-metadata-token"] == "ticket"
        return notices[len(looks) - 1]

    async with RawTestServer(answer) as machine:
        base = str(machine.make_url("")).rstrip("/")
        await asyncio.wait_for(wait_for_spot_notice(base, every=0.001), 10)

    assert looks == ["/latest/meta-data/spot/instance-action"] * 3


async def test_where_there_is_no_metadata_spot_is_silent(unused_tcp_port: int) -> None:
    waiting = asyncio.create_task(
        wait_for_spot_notice(f"http://127.0.0.1:{unused_tcp_port}", every=0.001)
    )

    done, _ = await asyncio.wait({waiting}, timeout=0.2)

    assert not done
    waiting.cancel()


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
@pytest.mark.parametrize("transcriber", ["auto", "whisperx", "embedded"])
async def test_a_server_that_is_to_use_a_gpu_does_not_start_without(
    tmp_path: Path, transcriber: str
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho NVIDIA-SMI has failed\nexit 9\n")
    tool.chmod(0o755)

    async with gpu_server_process(
        environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        device="cuda",
        transcriber=transcriber,
    ) as (service, _):
        async with asyncio.timeout(60):
            status = await service.process.wait()

    line = service.logs[-1]["event"]
    assert status == 1
    assert "ready" not in events(service)
    assert line.startswith("The server cannot start: DEVICE is cuda, and no GPU can be used: there")
    assert "CUDA failed with error" in line
    assert "nvidia-smi: NVIDIA-SMI has failed" in line


async def test_settings_without_effect_are_in_the_log_before_the_server_is_ready() -> None:
    async with gpu_server_process(transcriber="embedded", batch_size=4) as (service, client):
        await eventually(lambda: "ready" in events(service), "the model is loaded", within=60)

        assert (await client.get("/health")).status == 200
    assert events(service)[0] == "listening"
    unused = [each for each in service.logs if each["event"] == "setting_without_effect"]
    assert [each["setting"] for each in unused] == ["BATCH_SIZE"]
    assert service.logs.index(unused[0]) < events(service).index("ready")


def events(service: RunningService) -> list[str]:
    return [entry["event"] for entry in service.logs]
