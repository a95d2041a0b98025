"""The edge before small backends: what reaches them, and what of theirs reaches the client."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from local_cloud.edge import server
from local_cloud.edge.limits import EdgeLimits
from tests.support.eventually import eventually

pytestmark = pytest.mark.integration

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATIENCE = 10.0


@contextlib.asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[int]:
    runner = server.runner(app, shutdown_timeout=0.1)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if server.LIMITS in app:
            bounded = await server.listen(runner, listener)
        else:
            await web.SockSite(runner, listener).start()
            bounded = None
        try:
            yield listener.getsockname()[1]
        finally:
            if bounded is not None:
                bounded.close()
            await runner.cleanup()


@dataclass
class Edge:
    """A client's view of an edge."""

    port: int
    client: aiohttp.ClientSession
    bounds: EdgeLimits

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def raw(self, head: str) -> bytes:
        """Send a request as it stands and return the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>the page")
    (folder / "assets" / "index-abc123.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def behind(dist: Path) -> Callable[[Handler], contextlib.AbstractAsyncContextManager[Edge]]:
    """Return a way to put an edge before a backend that answers everything with one handler."""

    @contextlib.asynccontextmanager
    async def put(handler: Handler) -> AsyncIterator[Edge]:
        backend = web.Application(client_max_size=0)
        backend.router.add_route("*", "/{path:.*}", handler)
        async with listening(backend) as service:
            front = server.application(dist=dist, service=f"http://127.0.0.1:{service}")
            async with (
                listening(front) as port,
                aiohttp.ClientSession(auto_decompress=False) as client,
            ):
                yield Edge(port, client, front[server.LIMITS])

    return put


Behind = Callable[[Handler], contextlib.AbstractAsyncContextManager[Edge]]


async def nothing(_: web.Request) -> web.StreamResponse:
    raise AssertionError("this request was not for the service")


async def echo(request: web.Request) -> web.StreamResponse:
    ws = web.WebSocketResponse(protocols=["captions"], max_msg_size=0)
    await ws.prepare(request)
    async for message in ws:
        await ws.send_frame(
            message.data.encode() if message.type is WSMsgType.TEXT else message.data, message.type
        )
    return ws


# --- the page -----------------------------------------------------------------------------


async def test_the_page_is_never_stale_and_its_hashed_files_are_kept_for_ever(
    behind: Behind,
) -> None:
    async with behind(nothing) as front:
        async with front.client.get(f"{front.url}/") as page:
            assert await page.text() == "<!doctype html>the page"
            assert page.headers["Cache-Control"] == "no-cache"
        async with front.client.get(f"{front.url}/assets/index-abc123.js") as script:
            assert "immutable" in script.headers["Cache-Control"]
            assert script.content_type in ("text/javascript", "application/javascript")


async def test_a_route_of_the_page_gets_the_page_and_a_missing_file_gets_404(
    behind: Behind,
) -> None:
    async with behind(nothing) as front:
        async with front.client.get(f"{front.url}/conversations/monday") as route:
            assert (route.status, await route.text()) == (200, "<!doctype html>the page")
        async with front.client.get(f"{front.url}/assets/index-gone.js") as missing:
            assert missing.status == 404


async def test_every_answer_of_the_page_carries_the_security_headers(behind: Behind) -> None:
    async with behind(nothing) as front:
        for path in ("/", "/assets/index-abc123.js", "/gone.js"):
            async with front.client.get(front.url + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "unsafe" not in policy
                assert f"connect-src 'self' ws://127.0.0.1:{front.port};" in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "microphone=(self)" in answer.headers["Permissions-Policy"]
                assert "Referrer-Policy" in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "//secret.txt",
        "/link.txt",
        "/%00",
        "/api/../secret.txt",
        f"/{'a' * 5000}",
    ],
)
async def test_nothing_outside_the_page_can_be_read(behind: Behind, path: str) -> None:
    async with behind(nothing) as front:
        answer = await front.raw(f"GET {path} HTTP/1.1\nHost: localhost\nConnection: close\n")
        assert b"secret\n" not in answer
        assert answer.split()[1] in (b"400", b"404", b"200")
        assert not answer.endswith(b"secret")


async def test_a_name_that_is_not_this_machines_is_refused(behind: Behind) -> None:
    async with (
        behind(nothing) as front,
        front.client.get(f"{front.url}/", headers={"Host": "evil.example:8080"}) as answer,
    ):
        assert answer.status == 421


# --- requests -----------------------------------------------------------------------------


async def test_the_service_sees_the_request_as_the_client_made_it(behind: Behind) -> None:
    seen: list[web.Request] = []

    async def service(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.Response(status=418, body=await request.read(), headers={"X-Mine": "1"})

    async with (
        behind(service) as front,
        front.client.put(
            f"{front.url}/api/x%2Fy?q=a%20b&q=2",
            data=b"body",
            headers={
                "Origin": "http://localhost:1",
                "X-Forwarded-For": "10.0.0.1",
                "Connection": "keep-alive, X-Hop",
                "X-Hop": "1",
            },
        ) as answer,
    ):
        assert (answer.status, await answer.read()) == (418, b"body")
        assert answer.headers["X-Mine"] == "1"
        request = seen[0]
        assert request.rel_url.raw_path_qs == "/api/x%2Fy?q=a%20b&q=2"
        assert request.headers["Host"] == f"127.0.0.1:{front.port}"
        assert request.headers["Origin"] == "http://localhost:1"
        assert request.headers["X-Forwarded-For"] == "10.0.0.1, 127.0.0.1"
        assert "X-Hop" not in request.headers


async def test_bodies_stream_in_both_directions(behind: Behind) -> None:
    async def service(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            await response.write(chunk.upper())
        return response

    answered = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first "
        await answered.wait()  # the answer to the first part comes before the second is sent
        yield b"second"

    async with (
        asyncio.timeout(PATIENCE),
        behind(service) as front,
        front.client.post(f"{front.url}/api/echo", data=body()) as answer,
    ):
        assert await answer.content.readany() == b"FIRST "
        answered.set()
        assert await answer.content.read() == b"SECOND"


async def test_a_compressed_answer_is_passed_on_as_it_is(behind: Behind) -> None:
    async def service(_: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b"text"), headers={"Content-Encoding": "gzip"})

    async with behind(service) as front, front.client.get(f"{front.url}/api/x") as answer:
        assert gzip.decompress(await answer.read()) == b"text"


async def test_an_answer_that_breaks_off_does_not_look_complete(behind: Behind) -> None:
    async def service(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with behind(service) as front, front.client.get(f"{front.url}/api/x") as answer:
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_a_service_that_is_away_is_a_502_in_plain_words(dist: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        service = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with (
            listening(server.application(dist=dist, service=service)) as port,
            aiohttp.ClientSession() as client,
        ):
            async with client.get(f"http://127.0.0.1:{port}/api/stt/ready") as answer:
                assert (answer.status, await answer.text()) == (502, server.SERVICE_AWAY)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await client.ws_connect(f"http://127.0.0.1:{port}/api/stt/connect")
            assert refusal.value.status == 502


# --- sockets ------------------------------------------------------------------------------


async def test_frames_of_both_kinds_pass_in_both_directions(behind: Behind) -> None:
    async with behind(echo) as front, front.client.ws_connect(f"{front.url}/api/x") as ws:
        for text in ("", "héllo", "x" * 70_000):
            await ws.send_str(text)
            assert await ws.receive_str(timeout=PATIENCE) == text
        for data in (b"", b"\x00\xff", bytes(256 * 1024)):
            await ws.send_bytes(data)
            assert await ws.receive_bytes(timeout=PATIENCE) == data


async def test_the_subprotocol_is_chosen_by_the_service(behind: Behind) -> None:
    async with (
        behind(echo) as front,
        front.client.ws_connect(f"{front.url}/api/x", protocols=("other", "captions")) as ws,
    ):
        assert ws.protocol == "captions"


async def test_the_service_sees_host_origin_and_the_client_of_a_socket(behind: Behind) -> None:
    seen: list[web.Request] = []

    async def service(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return await echo(request)

    async with (
        behind(service) as front,
        front.client.ws_connect(f"{front.url}/api/x?a=1", origin=front.url),
    ):
        assert seen[0].host == f"127.0.0.1:{front.port}"
        assert seen[0].headers["Origin"] == front.url
        assert seen[0].headers["X-Forwarded-For"] == "127.0.0.1"
        assert seen[0].query_string == "a=1"


async def test_a_refused_upgrade_keeps_its_status_and_when_to_come_back(behind: Behind) -> None:
    async def service(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTooManyRequests(
            text='{"reason":"busy"}',
            headers={"Retry-After": "7", "Content-Type": "application/problem+json"},
        )

    async with behind(service) as front:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await front.client.ws_connect(f"{front.url}/api/x")
        assert refusal.value.status == 429
        assert refusal.value.headers is not None
        assert refusal.value.headers["Retry-After"] == "7"
        handshake = (
            f"GET /api/x HTTP/1.1\nHost: 127.0.0.1:{front.port}\nConnection: Upgrade, close\n"
            "Upgrade: websocket\nSec-WebSocket-Version: 13\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
        )
        answer = await front.raw(handshake)
        assert b"application/problem+json" in answer
        assert answer.endswith(b'{"reason":"busy"}')


async def test_the_services_close_reaches_the_client_with_code_and_reason(behind: Behind) -> None:
    async def service(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_str("last words")
        await ws.close(code=4429, message=b"come back")
        return ws

    async with (
        behind(service) as front,
        front.client.ws_connect(f"{front.url}/api/x", autoclose=False) as ws,
    ):
        assert await ws.receive_str() == "last words"
        close = await ws.receive(timeout=PATIENCE)
        assert (close.type, close.data, close.extra) == (WSMsgType.CLOSE, 4429, "come back")


async def test_the_clients_close_reaches_the_service_with_code_and_reason(behind: Behind) -> None:
    seen: asyncio.Queue[tuple[int, str | None]] = asyncio.Queue()

    async def service(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(autoclose=False)
        await ws.prepare(request)
        close = await ws.receive()
        seen.put_nowait((close.data, close.extra))
        return ws

    async with asyncio.timeout(PATIENCE), behind(service) as front:
        ws = await front.client.ws_connect(f"{front.url}/api/x")
        await ws.close(code=4000, message=b"enough")
        assert await seen.get() == (4000, "enough")
        assert ws.close_code == 4000


async def test_a_service_that_dies_closes_its_clients_with_bad_gateway(behind: Behind) -> None:
    async def service(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        return ws

    async with behind(service) as front, front.client.ws_connect(f"{front.url}/api/x") as ws:
        close = await ws.receive(timeout=PATIENCE)
        assert (close.type, close.data) == (WSMsgType.CLOSE, server.CLOSE_SERVICE_LOST)


async def test_the_service_is_notified_of_a_client_that_is_cut_off(behind: Behind) -> None:
    seen: asyncio.Queue[object] = asyncio.Queue()

    async def service(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(autoclose=False)
        await ws.prepare(request)
        seen.put_nowait((await ws.receive()).data)
        return ws

    async with asyncio.timeout(PATIENCE), behind(service) as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(
            b"GET /api/x HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await writer.drain()
        writer.transport.abort()
        assert await seen.get() == server.CLOSE_CLIENT_LOST


async def test_a_client_that_reads_nothing_is_cut_off_and_the_service_is_notified(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STUCK_SECONDS", 0.3)
    monkeypatch.setattr(server, "CLOSE_SECONDS", 0.2)
    ended = asyncio.Event()

    async def service(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)

        async def flood() -> None:
            while True:
                await ws.send_bytes(bytes(64 * 1024))

        flooding = asyncio.create_task(flood())
        async for _ in ws:
            pass
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        ended.set()
        return ws

    async with asyncio.timeout(PATIENCE), behind(service) as front:
        ws = await front.client.ws_connect(f"{front.url}/api/x")
        await ended.wait()
        await ws.close()


async def test_a_service_that_does_not_read_makes_the_client_wait(behind: Behind) -> None:
    go_on = asyncio.Event()
    counted: asyncio.Queue[int] = asyncio.Queue()

    async def service(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await go_on.wait()
        total = 0
        async for message in ws:
            total += len(message.data)
        counted.put_nowait(total)
        return ws

    async with asyncio.timeout(4 * PATIENCE), behind(service) as front:
        ws = await front.client.ws_connect(f"{front.url}/api/x")
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(1600):
                await ws.send_bytes(bytes(64 * 1024))
                sent += 64 * 1024

        sending = asyncio.create_task(send())
        seen = -1
        while seen != sent:  # until a whole second brings no progress
            seen = sent
            await asyncio.sleep(1.0)
        assert 0 < sent < 32 * 1024 * 1024, "the edge must not take what the service does not"
        go_on.set()
        await sending
        await ws.close()
        assert await counted.get() == 1600 * 64 * 1024


# --- clients that send half of something, or do not read -------------------------------------


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the end, which may be a cut."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65_536):  # read to its end at once, a cut would take all
            came += piece
    return came


async def drip(writer: asyncio.StreamWriter, drop: bytes) -> None:
    while not writer.transport.is_closing():
        writer.write(drop)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("sent", "drop", "answer"),
    [
        (b"", b"", b""),
        (b"GET / HT", b"", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"x", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT", b"", b" 200 "),
        (b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"", b" 408 "),
        (
            b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n",
            b"x",
            b" 408 ",
        ),
        (
            b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\nx\r\n",
            b" 408 ",
        ),
    ],
)
async def test_what_is_half_sent_is_dropped_at_its_deadline_however_it_drips(
    behind: Behind, monkeypatch: pytest.MonkeyPatch, sent: bytes, drop: bytes, answer: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(server, "STUCK_SECONDS", 0.4)
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.4)

    async def service(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    async with asyncio.timeout(PATIENCE), behind(service) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(sent)
        dripping = asyncio.create_task(drip(writer, drop))
        assert answer in await rest(reader)
        dripping.cancel()
        writer.close()


async def test_a_page_that_nobody_reads_is_given_up(
    behind: Behind, dist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PAGE_SECONDS", 0.4)
    (dist / "large.bin").write_bytes(bytes(32 * 1024 * 1024))
    async with asyncio.timeout(PATIENCE), behind(nothing) as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it can read, too
        writer.write(b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await eventually(lambda: len(front.bounds.connections) == 1, "it is there")
        await eventually(lambda: len(front.bounds.connections) == 0, "it is gone")
        writer.transport.abort()


async def test_a_socket_in_which_nothing_happens_stays_open(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAD_SECONDS", "STUCK_SECONDS", "PAGE_SECONDS"):
        monkeypatch.setattr(server, name, 0.2)
    async with behind(echo) as front, front.client.ws_connect(f"{front.url}/api/x") as ws:
        await asyncio.sleep(1.0)  # five times every deadline
        await ws.send_str("still here")
        assert await ws.receive_str(timeout=PATIENCE) == "still here"


async def test_connections_that_send_nothing_or_half_keep_nobody_out_and_cut_no_socket(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 16)
    async with (
        asyncio.timeout(4 * PATIENCE),
        behind(echo) as front,
        front.client.ws_connect(f"{front.url}/api/x") as ws,
    ):
        writers = []
        for number in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", front.port)
            writer.write((b"", b"GET / HT")[number % 2])
            writers.append(writer)
            assert len(front.bounds.connections) <= 16
        async with front.client.get(f"{front.url}/") as page:
            assert page.status == 200
        await ws.send_str("still here")
        assert await ws.receive_str() == "still here"
        for writer in writers:
            writer.transport.abort()
        await eventually(lambda: len(front.bounds.connections) <= 2, "they have left")


async def test_sockets_leave_room_for_the_page(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 8)
    async with behind(echo) as front, contextlib.AsyncExitStack() as stack:
        for _ in range(6):
            await stack.enter_async_context(front.client.ws_connect(f"{front.url}/api/x"))
        async with front.client.get(f"{front.url}/") as refused:
            assert refused.status == 503
            assert refused.headers["Retry-After"]
