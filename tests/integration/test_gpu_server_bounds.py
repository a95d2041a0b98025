"""Callers that send half of something, slowly, or do not read: each is given up, and costs nobody.

Deadlines are short here, by settings; sockets are raw.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gpu_server.app import RunningServer
from tests.support.eventually import eventually
from tests.support.gpu_server import Client, gpu_server

pytestmark = pytest.mark.integration

FORM = (
    b"POST /transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n"
)
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
SECRET = "a secret of enough letters"  # noqa: S105 - a test's
#: Bytes per second; what drips here is slower.
RATE = 1000


@contextlib.asynccontextmanager
async def connection(
    client: Client, sent: bytes = b"", *, receive_buffer: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    raw = socket.socket()
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", client.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=1024)
    try:
        writer.write(sent)
        yield reader, writer
    finally:
        writer.transport.abort()


async def drip(writer: asyncio.StreamWriter, drop: bytes, every: float = 0.05) -> None:
    while not writer.transport.is_closing():
        writer.write(drop)
        await asyncio.sleep(every)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the end, which may be a cut."""
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


def connections(server: RunningServer) -> list[Any]:
    return list(server.bounds.connections._members)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# --- requests that are half sent ------------------------------------------------------------


LOCAL = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LONG = b"Content-Length: 99999\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
#: What is sent, what then drips, and what is answered.
HALVES = [
    (b"", b"", b""),
    (b"GET /hea", b"", b" 408 "),
    (b"GET /health" + LOCAL + b"X: ", b"x", b" 408 "),
    (b"GET /health" + LOCAL + b"\r\nGET /hea", b"", b" 408 "),
    (b"GET /health" + LOCAL + LONG, b"x", b" 200 "),
    (b"POST /nowhere" + LOCAL + LONG, b"x", b" 404 "),
    (b"POST /warmup" + LOCAL + LONG + b"{", b"x", b'"request_stalled"'),
    (b"POST /transcribe-s3" + LOCAL + LONG, b"", b'"request_stalled"'),
    (b"POST /transcribe-url" + LOCAL + CHUNKED, b"1\r\nx\r\n", b'"request_stalled"'),
    (FORM + LONG + PART, b"", b'"upload_stalled"'),
    (FORM + LONG + PART, b"x", b'"upload_stalled"'),
    (FORM + CHUNKED + b"%x\r\n%b\r\n" % (len(PART), PART), b"1\r\n-\r\n", b'"upload_stalled"'),
    (FORM + CHUNKED + b"5;", b"x", b'"upload_stalled"'),
]


async def test_what_is_half_sent_is_dropped_at_its_deadline_however_it_drips() -> None:
    async def dropped(client: Client, sent: bytes, drop: bytes) -> bytes:
        async with asyncio.timeout(20), connection(client, sent) as (reader, writer):
            dripping = asyncio.create_task(drip(writer, drop))
            received = await rest(reader)
            dripping.cancel()
            return received

    async with gpu_server(request_seconds=0.5, transfer_seconds=0.5, transfer_rate=RATE) as (
        client,
        server,
    ):
        before = descriptors()
        received = await asyncio.gather(*(dropped(client, sent, drop) for sent, drop, _ in HALVES))

        for answer, (sent, drop, expected) in zip(received, HALVES, strict=True):
            assert expected in answer, (sent, drop)
        await eventually(lambda: len(server.bounds.connections) == 0, "nothing is open")
        await eventually(lambda: descriptors() <= before, "descriptors are back")
        assert server.parts.uploads.running == 0


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    wanted = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with (
        gpu_server(transfer_seconds=0.5, request_seconds=60) as (client, server),
        connection(client, wanted * 1000) as (_, writer),
    ):
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it can read, too
        await eventually(lambda: len(server.bounds.connections) == 1, "it is there")
        await eventually(lambda: len(server.bounds.connections) == 0, "it is gone")


async def test_who_reads_slowly_but_reads_gets_all() -> None:
    wanted = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    received = b""
    async with (
        asyncio.timeout(60),
        gpu_server(transfer_seconds=0.5, request_seconds=0.5) as (client, _),
        connection(client, wanted * 400 + last) as (reader, _),
    ):
        while piece := await reader.read(512 * 1024):
            received += piece
            await asyncio.sleep(0.02)

    assert received.count(b"HTTP/1.1 200 OK") == 401


@pytest.mark.alone
async def test_five_hundred_connections_that_send_nothing_or_half_keep_nobody_out() -> None:
    async with gpu_server(connection_limit=64, request_seconds=30) as (client, server):
        before = descriptors()
        async with contextlib.AsyncExitStack() as stack:
            for number in range(500):
                sent = (b"", b"GET /hea", FORM)[number % 3]
                await stack.enter_async_context(connection(client, sent))
                assert len(server.bounds.connections) <= 64
            worst = 0.0
            for _ in range(20):
                began = time.monotonic()
                assert (await client.get("/health")).status == 200
                worst = max(worst, time.monotonic() - began)
            assert (await client.upload("say good morning")).body["text"] == "good morning"
        await eventually(lambda: descriptors() <= before + 2, "descriptors are back")

    assert worst < 1.0  # milliseconds on an idle machine


@pytest.mark.parametrize("path", [b"/openapi.json", b"/nowhere", b"/transcribe"])
async def test_connections_that_read_no_answer_keep_nobody_out(path: bytes) -> None:
    requests = (b"GET " + path + LOCAL + b"\r\n") * 1000
    async with (
        gpu_server(connection_limit=8, transfer_seconds=60, auth_token=SECRET) as (client, server),
        contextlib.AsyncExitStack() as stack,
    ):
        writers = [
            (await stack.enter_async_context(connection(client, receive_buffer=4096)))[1]
            for _ in range(8)
        ]
        await eventually(lambda: len(server.bounds.connections) == 8, "the server is full")
        for one in connections(server):  # else the kernel takes megabytes of answers
            theirs = one.transport.get_extra_info("socket")
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for writer in writers:
            writer.write(requests)
        await eventually(
            lambda: [one.flow.write_paused for one in connections(server)] == [True] * 8,
            "all have answers that nobody reads",
        )
        health = await client.get("/health")

    assert health.status == 200


async def test_requests_in_work_leave_room_for_health(tmp_path: Path) -> None:
    async with gpu_server(connection_limit=8, queue_limit=20) as (client, server):
        in_work = [asyncio.create_task(client.upload(f"wait {tmp_path / 'go'}")) for _ in range(5)]
        await eventually(lambda: server.parts.inference.waiting == 4, "so many may be in work")
        refused = await client.upload("say too many")
        health = await client.get("/health")
        (tmp_path / "go").touch()
        answers = await asyncio.gather(*in_work)

    assert (refused.status, refused.body["code"]) == (503, "busy")
    assert refused.headers["Retry-After"]
    assert health.status == 200
    assert [answer.status for answer in answers] == [200] * 5


# --- uploads --------------------------------------------------------------------------------


@pytest.mark.alone
async def test_slow_uploads_hold_no_place_beside_them_others_are_served_at_once() -> None:
    # As many slow ones as there are places and slots, and more; each brings a byte now and then.
    async with gpu_server(queue_limit=8, transfer_rate=RATE) as (client, server):
        async with contextlib.AsyncExitStack() as stack:
            head = FORM + b"Content-Length: 9999999\r\n\r\n" + PART
            slow = [await stack.enter_async_context(connection(client, head)) for _ in range(12)]
            await eventually(lambda: server.parts.uploads.running == 12, "all are admitted")
            dripping = [asyncio.create_task(drip(writer, b"x")) for _, writer in slow]

            began = time.monotonic()
            answers = [await client.upload(f"say number {number}") for number in range(5)]
            seconds = time.monotonic() - began

            assert [answer.status for answer in answers] == [200] * 5
            assert server.parts.uploads.running == 12
            assert server.parts.inference.waiting == 0
            for task in dripping:
                task.cancel()
        await eventually(lambda: server.parts.uploads.running == 0, "they have left")
        assert server.parts.uploads.held == 0

    assert seconds < 5


async def test_slow_uploads_are_given_up_and_what_they_had_on_the_disk(tmp_path: Path) -> None:
    head = FORM + b"Content-Length: 9999999\r\n\r\n" + PART
    async with gpu_server(transfer_seconds=0.5, transfer_rate=RATE, work_dir=tmp_path) as (
        client,
        server,
    ):
        async with asyncio.timeout(10), connection(client, head) as (reader, writer):
            dripping = asyncio.create_task(drip(writer, b"x"))
            received = await reader.readuntil(b"}")
            dripping.cancel()

        assert b'"upload_stalled"' in received
        assert [each for each in tmp_path.rglob("*") if each.is_file()] == []  # noqa: ASYNC240 - a look into a small folder
        assert server.parts.uploads.running == 0


async def test_beyond_the_uploads_bound_who_comes_need_not_send_the_body() -> None:
    head = FORM + b"Content-Length: 9999999\r\n"
    async with (
        gpu_server(transfer_limit=1) as (client, server),
        connection(client, head + b"\r\n" + PART),
    ):
        await eventually(lambda: server.parts.uploads.running == 1, "the first is admitted")
        asking = head + b"Expect: 100-continue\r\n\r\n"
        async with asyncio.timeout(10), connection(client, asking) as (reader, _):
            received = await reader.readuntil(b"\r\n\r\n")

    assert received.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after" in received.lower()


async def test_an_upload_that_is_complete_is_not_refused_because_others_came_first(
    tmp_path: Path,
) -> None:
    body = PART + b"say it was worth it" + b"\r\n--x--\r\n"
    head = FORM + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with (
        asyncio.timeout(60),
        gpu_server(queue_limit=0) as (client, server),
        connection(client, head + body[:-3]) as (reader, writer),
    ):
        await eventually(lambda: server.parts.uploads.running == 1, "it is on its way")
        other = asyncio.create_task(client.upload(f"wait {tmp_path / 'go'}"))
        await eventually(lambda: server.parts.inference.running == 1, "another one is in work")
        writer.write(body[-3:])
        await eventually(lambda: server.parts.inference.waiting == 1, "it stands in line")
        late = await client.upload("say too late")
        (tmp_path / "go").touch()
        received = await rest(reader)
        await other

    assert (late.status, late.body["code"]) == (503, "busy")
    assert b"it was worth it" in received
