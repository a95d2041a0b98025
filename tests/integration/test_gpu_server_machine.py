"""What the server says to ECS, and hears of Spot: local addresses, as AWS offers them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from gpu_server.protection import MINUTES, protect
from gpu_server.spot import spot_notice
from tests.support.eventually import eventually

pytestmark = pytest.mark.integration

AT_WORK = {"ProtectionEnabled": True, "ExpiresInMinutes": MINUTES}
AT_REST = {"ProtectionEnabled": False}


@dataclass
class Work:
    idle: float = 1000.0


@contextlib.asynccontextmanager
async def protecting(
    work: Work,
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    renew: float = 1000.0,
) -> AsyncIterator[None]:
    async with RawTestServer(answer) as agent:
        url = str(agent.make_url("/v3/abc"))
        task = asyncio.create_task(
            protect(url, lambda: work.idle, renew=renew, linger=10, look=0.001)
        )
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
        work.idle = 9.9
        await asyncio.sleep(0.05)
        assert len(asked) == 1  # the next job may be near
        work.idle = 10.1
        await eventually(lambda: len(asked) == 2, "it is not protected any more")

    where = ("PUT", "/v3/abc/task-protection/v1/state")
    assert asked == [(*where, AT_WORK), (*where, AT_REST)]


async def test_work_that_lasts_renews_its_protection() -> None:
    asked = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(await request.json())
        return web.json_response({"protection": {}})

    async with protecting(Work(idle=0), answer, renew=0.01):
        await eventually(lambda: len(asked) >= 3, "it is protected again and again")

    assert asked[:3] == [AT_WORK] * 3


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: web.json_response({"failure": {"Reason": "DEPLOYMENT_BLOCKED"}}),
        lambda: web.json_response({"error": {"Code": "AccessDeniedException"}}, status=400),
        lambda: web.json_response(["?"]),
        lambda: web.Response(text="<html>", status=502),
    ],
)
async def test_a_refusal_is_told_and_asked_again(
    refusal: Callable[[], web.Response], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        asked.append(1)
        return refusal()

    async with protecting(Work(idle=0), answer, renew=0.01):
        await eventually(lambda: len(asked) > 2, "it is asked again")

    assert "task_protection_refused" in capsys.readouterr().out


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
        await asyncio.wait_for(spot_notice(base, every=0.001), 10)

    assert looks == ["/latest/meta-data/spot/instance-action"] * 3


async def test_where_there_is_no_metadata_spot_is_silent(unused_tcp_port: int) -> None:
    waiting = asyncio.create_task(spot_notice(f"http://127.0.0.1:{unused_tcp_port}", every=0.001))

    done, _ = await asyncio.wait({waiting}, timeout=0.2)

    assert not done
    waiting.cancel()
