"""Clients that send what costs most, and read nothing: it costs nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from ecs_service.api.connection import CLOSE_SECONDS, Connection
from ecs_service.limits.frame_budget import BURST, CONTROL_COST
from tests.support.echo import echo_server
from tests.support.eventually import eventually
from tests.support.frames import BINARY, CONTINUATION, PING, PONG, TEXT, frame, handshake, incoming
from tests.support.service import ANY_NUMBER, ROOT, RunningService, running_service

pytestmark = pytest.mark.integration

SPEAK = "/api/stt/transcribe?sampleRate=16000"
WATCH = "/api/stt/connect?conversationId=flooded"
#: What a flooder may make the service grow by, bytes: buffers of picows and of the socket.
GROWTH = 8 * 2**20
#: Of a normal stream beside floods, from the word to the viewer, milliseconds.
P95_MS = 100.0

#: Where a flood goes, what it begins with, and what is repeated.
FLOODS = {
    "tiny audio": (SPEAK, b"", frame(BINARY, b"ab")),
    "tiny fragments": (SPEAK, frame(BINARY, b"", fin=False), frame(CONTINUATION, b"", fin=False)),
    "pings": (WATCH, b"", frame(PING, b"x" * 125)),
    "after a stop": (SPEAK, frame(TEXT, b'{"type":"stop"}'), frame(BINARY, b"ab")),
    "after a refusal": (WATCH, frame(TEXT, b"hello"), frame(PING, b"")),
}


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    async with running_service(**ANY_NUMBER) as running:
        yield running


@contextlib.asynccontextmanager
async def opened(
    url: str, target: str, *, receive_buffer: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = url.split("/")[2].split(":")
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
    try:
        writer.write(handshake(target.encode()))
        await reader.readuntil(b"\r\n\r\n")
        yield reader, writer
    finally:
        writer.transport.abort()


async def flood(url: str, target: str, begin: bytes, repeated: bytes) -> None:
    """Send as much as the service takes, read nothing, and come back when it closes."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with opened(url, target) as (_, writer):
                writer.write(begin)
                while True:
                    writer.write(repeated * 1000)
                    await writer.drain()
                    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def flooding(url: str, *kinds: str) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(flood(url, *FLOODS[kind])) for kind in kinds]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def latency_ms(url: str) -> dict[str, float]:
    """Return how long after it was spoken a word is shown, measured in a process of its own."""
    command = ("-m", "benchmarks.load", url, "--streams", "1", "--seconds", "4", "--warm-up", "2")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    assert result["lost_words"] == 0
    return dict(result["latency_ms"])


@pytest.mark.alone
async def test_a_normal_stream_is_not_delayed_by_floods(service: RunningService) -> None:
    async with flooding(service.url, *FLOODS, "tiny audio", "tiny audio", "tiny audio"):
        delay = await latency_ms(service.url)

    assert delay["p95"] < P95_MS


@pytest.mark.alone
@pytest.mark.parametrize("kind", FLOODS)
async def test_who_floods_and_reads_nothing_costs_no_memory(
    service: RunningService, kind: str
) -> None:
    process = psutil.Process(service.process.pid)
    async with opened(service.url, WATCH):  # what the first connection of all needs is there
        before = process.memory_info().rss
    async with flooding(service.url, kind):
        await asyncio.sleep(2)  # in 2 s of pings the service once grew by 400 MiB
        grown = process.memory_info().rss - before

    assert grown < GROWTH
    assert not [entry for entry in service.logs if entry["level"] == "error"]


async def test_of_too_many_pings_the_newest_is_answered() -> None:
    pings = [b"%d" % number for number in range(2 * BURST // CONTROL_COST)]
    async with echo_server() as url, opened(url, "/") as (reader, writer):
        writer.write(b"".join(frame(PING, ping) for ping in pings))
        answers: list[bytes] = []
        async with asyncio.timeout(20):
            while not answers or answers[-1] != pings[-1]:
                opcode, payload = await incoming(reader)
                assert opcode == PONG
                answers.append(payload)

    assert answers[: BURST // CONTROL_COST] == pings[: BURST // CONTROL_COST]
    assert len(answers) < len(pings)


async def test_a_speaker_who_sends_too_fast_loses_nothing(service: RunningService) -> None:
    """Pieces as small as a browser's, many seconds of them in one go: slowed down, and taken."""
    pieces = BURST + 400
    async with opened(service.url, SPEAK) as (reader, writer):
        writer.write(frame(BINARY, bytes(256)) * pieces + frame(TEXT, b'{"type":"stop"}'))
        async with asyncio.timeout(20):
            answer = await reader.read()

    assert b'"duration":%g,' % (pieces * 128 / 16_000) in answer


@pytest.mark.parametrize(
    "last", [frame(TEXT, b"x" * 60_000), b"\x82\x00"], ids=["too much", "without a mask"]
)
async def test_who_does_not_read_is_gone_soon_however_it_ends(last: bytes) -> None:
    connections: set[Connection] = set()
    async with (
        echo_server(connections) as url,
        opened(url, "/", receive_buffer=4096) as (_, writer),
    ):
        writer.write(frame(TEXT, b"x" * 60_000) * 16)  # less than may wait, more than is buffered
        await writer.drain()
        (connection,) = connections
        for _ in range(40):
            writer.write(last)
        await eventually(lambda: not connections, "it is gone", within=4 * CLOSE_SECONDS)

    assert connection.is_over
