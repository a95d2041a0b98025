"""Too many viewers, too many connections, and clients that only take up room."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psutil
import pytest

from client.errors import Refused
from client.live import Speaker, Viewer
from tests.support.eventually import eventually
from tests.support.service import RunningService, running_service
from transcripts.protocol import (
    REQUEST_SECONDS,
    ConnectParameters,
    ErrorCode,
    Snapshot,
    TranscribeParameters,
)

pytestmark = pytest.mark.integration

HEADER = "X-Cloudscribe-Viewer"
WATCH = "/api/stt/connect?conversationId="
BAD_SPEAKER = "/api/stt/transcribe?sampleRate=1"


@pytest.fixture
async def held() -> AsyncIterator[contextlib.AsyncExitStack]:
    """Keep what tests open until they end."""
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def watch(held: contextlib.AsyncExitStack, url: str, conversation: str) -> Viewer:
    """Be a viewer until the end of the test; return once the snapshot is there."""
    viewer = Viewer(url, ConnectParameters(conversation_id=conversation))
    await held.enter_async_context(viewer)
    assert isinstance(await anext(aiter(viewer)), Snapshot)
    return viewer


async def silent(held: contextlib.AsyncExitStack, url: str) -> asyncio.StreamReader:
    """Open a connection and send nothing."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    held.callback(writer.close)
    return reader


async def speak(url: str) -> None:
    """Be a speaker who gets `ready`."""
    async with Speaker(url, TranscribeParameters(sample_rate=16_000)) as speaker:
        await speaker.stop()


async def last_of(
    http: aiohttp.ClientSession, url: str, **headers: str
) -> tuple[dict[str, Any], int | None]:
    """Return the first message of a connection, and its close code once it is closed."""
    async with http.ws_connect(url, headers=headers) as socket:
        message = json.loads((await socket.receive()).data)
        if message["type"] == "error":
            await socket.receive()
        return message, socket.close_code


async def is_healthy(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(f"{url}/api/stt/healthcheck") as answer:
        return answer.status == 200


# --- places ------------------------------------------------------------------------------------


async def test_viewers_hold_slots_and_without_one_learn_when_to_try_again(
    held: contextlib.AsyncExitStack, http: aiohttp.ClientSession
) -> None:
    async with running_service(max_viewers=3, max_viewers_per_conversation=2) as service:
        async with contextlib.AsyncExitStack() as leaving:
            await watch(leaving, service.url, "full")
            await watch(held, service.url, "full")
            error, close_code = await last_of(http, f"{service.url}{WATCH}full")
            await watch(held, service.url, "other")
            with pytest.raises(Refused) as refused:
                await watch(held, service.url, "third")
            await speak(service.url)

        assert (error["code"], close_code) == ("too_many_viewers", 4430)
        assert "conversation" in error["message"]
        assert error["retryAfter"] > 0
        assert refused.value.code is ErrorCode.TOO_MANY_VIEWERS
        async with asyncio.timeout(5), http.get(f"{service.url}/metrics") as answer:
            assert 'refusals_total{code="too_many_viewers"} 2.0' in await answer.text()
        await eventually(lambda: is_watched(http, service.url, 2), "a viewer's slot is free")
        await watch(held, service.url, "full")


async def is_watched(http: aiohttp.ClientSession, url: str, viewers: int) -> bool:
    async with http.get(f"{url}/metrics") as answer:
        return f"\ncloudscribe_viewers {viewers}.0\n" in await answer.text()


# --- rates -------------------------------------------------------------------------------------


async def test_who_connects_too_fast_is_refused_by_name_and_then_before_there_is_a_socket(
    held: contextlib.AsyncExitStack, http: aiohttp.ClientSession
) -> None:
    async with running_service(
        connects_at_once=3,
        connects_per_second=0.02,
        failures_at_once=2,
        failures_per_second=0.02,
    ) as service:
        url = f"{service.url}{WATCH}c"
        for _ in range(3):
            await watch(held, service.url, "c")
        named = [await last_of(http, url) for _ in range(2)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url)
        with pytest.raises(Refused) as speaker_refused:
            await speak(service.url)
        healthy = await is_healthy(http, service.url)

    assert {(error["code"], close) for error, close in named} == {("rate_limited", 4431)}
    assert 0 < named[0][0]["retryAfter"] <= 51
    assert refused.value.status == 429
    assert refused.value.headers is not None
    assert 0 < int(refused.value.headers["Retry-After"]) <= 50
    assert speaker_refused.value.code is ErrorCode.RATE_LIMITED
    assert healthy, "which is not counted"


async def test_a_hall_behind_cloudfront_is_not_blamed_for_a_stranger(
    http: aiohttp.ClientSession,
) -> None:
    async with running_service(
        failures_at_once=2, failures_per_second=0.02, viewer_address_header=HEADER
    ) as service:
        url = f"{service.url}{WATCH}c"
        for host in ("1", "2"):
            await last_of(http, f"{service.url}{BAD_SPEAKER}", **{HEADER: f"2001:db8:0:1::{host}"})
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(url, headers={HEADER: "2001:db8:0:1::3"})
        neighbour, _ = await last_of(http, url, **{HEADER: "2001:db8:0:2::1"})
        unnamed, _ = await last_of(http, url)

    assert neighbour["type"] == unnamed["type"] == "snapshot"


async def test_without_a_proxy_nobody_chooses_an_address(http: aiohttp.ClientSession) -> None:
    async with running_service(failures_at_once=2, failures_per_second=0.02) as service:
        for host in ("1", "2"):
            await last_of(http, f"{service.url}{BAD_SPEAKER}", **{HEADER: f"192.0.2.{host}"})
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{service.url}{WATCH}c", headers={HEADER: "192.0.2.3"})

    assert refused.value.status == 429


# --- descriptors -------------------------------------------------------------------------------


@pytest.fixture
async def poor() -> AsyncIterator[RunningService]:
    """A service that may open few files."""
    async with running_service(128) as running:
        yield running


async def test_with_viewers_up_to_the_last_descriptor_health_answers_and_speakers_get_in(
    poor: RunningService, held: contextlib.AsyncExitStack, http: aiohttp.ClientSession
) -> None:
    watching = 0
    with pytest.raises(Refused) as refused:
        while watching < 128:
            await watch(held, poor.url, f"talk{watching}")
            watching += 1
    for _ in range(200):
        await silent(held, poor.url)

    assert refused.value.code is ErrorCode.TOO_MANY_VIEWERS
    assert watching >= 20
    assert await is_healthy(http, poor.url)
    await speak(poor.url)
    assert poor.logged("too_few_descriptors")


async def test_who_sends_nothing_or_half_a_request_is_cut_off_and_in_no_ones_way(
    poor: RunningService, held: contextlib.AsyncExitStack, http: aiohttp.ClientSession
) -> None:
    host, port = poor.url.removeprefix("http://").split(":")
    began = asyncio.get_running_loop().time()
    readers = [await silent(held, poor.url) for _ in range(5)]
    for _ in range(5):
        reader, writer = await asyncio.open_connection(host, int(port))
        held.callback(writer.close)
        writer.write(b"GET /api/stt/connect?conversationId=c HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        readers.append(reader)

    assert await is_healthy(http, poor.url)
    async with asyncio.timeout(REQUEST_SECONDS + 5):
        assert [await reader.read() for reader in readers] == [b""] * 10
    assert asyncio.get_running_loop().time() - began > REQUEST_SECONDS - 1


async def test_when_they_run_out_all_the_same_it_waits_for_some_without_spinning(
    held: contextlib.AsyncExitStack, http: aiohttp.ClientSession
) -> None:
    async with running_service() as service:
        process = psutil.Process(service.process.pid)
        before = process.rlimit(psutil.RLIMIT_NOFILE)
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(), before[1]))
        await silent(held, service.url)
        await eventually(lambda: service.logged("accept_failed"), "no connection can be accepted")
        health = asyncio.create_task(is_healthy(http, service.url))
        await asyncio.sleep(1.0)  # there is nothing to wait for but that nothing happens
        process.rlimit(psutil.RLIMIT_NOFILE, before)
        async with asyncio.timeout(5):
            assert await health

    assert len(service.logged("accept_failed")) < 20


async def test_with_far_too_few_descriptors_it_does_not_start() -> None:
    with pytest.raises(AssertionError, match="raise `ulimit -n`"):
        async with running_service(64):
            pass
