"""A service that nothing stands in front of but CloudFront, which proves itself by a secret."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest

from ecs_service.access.edge import EDGE_HEADER
from tests.support.service import ROOT, RunningService, running_service

pytestmark = pytest.mark.integration

SECRET = "s3cr3t" * 8
WATCH = "/api/stt/connect?conversationId=c"


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    async with running_service(edge_secret=SECRET) as running:
        yield running


@pytest.mark.parametrize("sent", [{}, {EDGE_HEADER: SECRET[:-1]}])
async def test_whoever_passes_cloudfront_by_gets_nothing(
    service: RunningService, sent: dict[str, str]
) -> None:
    async with aiohttp.ClientSession(headers=sent) as http:
        for path in ("/api/stt/ready", "/api/stt/healthcheck", "/metrics", "/nothing"):
            async with http.get(f"{service.url}{path}") as answer:
                assert answer.status == 403, path
        for path in (WATCH, "/api/stt/transcribe?conversationId=c&speakerId=s"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"{service.url}{path}")
            assert refused.value.status == 403, path
    assert not any(SECRET in str(line) for line in service.logs)


async def test_cloudfront_reaches_it(service: RunningService) -> None:
    async with (
        aiohttp.ClientSession(headers={EDGE_HEADER: SECRET}) as http,
        http.ws_connect(f"{service.url}{WATCH}") as socket,
    ):
        assert (await socket.receive_json())["type"] == "snapshot"


@pytest.mark.parametrize(("known", "status"), [({"EDGE_SECRET": SECRET}, 0), ({}, 1)])
async def test_the_containers_health_check_knows_the_secret(
    service: RunningService, known: dict[str, str], status: int
) -> None:
    check = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ecs_service.healthcheck",
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PORT": str(urlsplit(service.url).port), **known},
        stderr=asyncio.subprocess.PIPE,
    )
    _, printed = await check.communicate()

    assert check.returncode == status
    assert SECRET.encode() not in printed
