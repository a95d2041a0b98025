"""Recordings by URL: what is fetched, and what is refused however it is dressed up.

The fetcher takes 127.0.0.1 for public. 127.0.0.2 stands for all that it must not reach; its
server listens, and notes whoever comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web

from gpu_server.http.download import Downloader
from gpu_server.http.public_addresses import Address
from gpu_server.http.transfers import Transfers
from gpu_server.problems import FetchFailed, InvalidRequest, Problem, RefusedAddress, Unprocessable
from gpu_server.work.spool import Spool
from tests.support.gpu_server import gpu_server

pytestmark = pytest.mark.integration

SOUND = b"say it came from elsewhere"


def only_one(address: Address) -> bool:
    return address == ip_address("127.0.0.1")


@dataclass
class Net:
    """A public server and a secret one, at the same port."""

    port: int
    visits: list[str] = field(default_factory=list)  # of the secret one
    public: web.Application = field(default_factory=web.Application)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


async def sound(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=SOUND)


async def trickle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b".")
        await asyncio.sleep(0.05)


def redirect(to: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": to})

    return answer


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    public, secret = web.Application(), web.Application()
    runners = [web.AppRunner(each, shutdown_timeout=0.1) for each in (public, secret)]
    made: Net | None = None

    async def visited(request: web.Request) -> web.StreamResponse:
        assert made is not None
        made.visits.append(request.path)
        return web.Response(body=b"the secret")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(10_000))

    async def silent(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    async def bomb(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\x1f\x8b packed", headers={"Content-Encoding": "gzip"})

    async def broken(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async def moved(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": request.query["to"]})

    public.router.add_get("/sound", sound)
    public.router.add_get("/endless", endless)
    public.router.add_get("/silent", silent)
    public.router.add_get("/trickle", trickle)
    public.router.add_get("/bomb", bomb)
    public.router.add_get("/moved", moved)
    public.router.add_get("/loop", redirect("/loop"))
    public.router.add_get("/broken", broken)
    secret.router.add_get("/{path:.*}", visited)
    for runner in runners:
        await runner.setup()
    first = web.TCPSite(runners[0], "127.0.0.1", 0)
    await first.start()
    port = runners[0].addresses[0][1]
    await web.TCPSite(runners[1], "127.0.0.2", port).start()
    made = Net(port)
    yield made
    for runner in runners:
        await runner.cleanup()


@asynccontextmanager
async def fetching(
    folder: Path, resolve: Callable[[str, int], Awaitable[list[str]]] | None = None
) -> AsyncIterator[Callable[[str], Awaitable[bytes]]]:
    downloader = Downloader(patience=0.5, allowed=only_one, resolve=resolve)

    async def fetch(url: str) -> bytes:
        bounds = Transfers(limit=1, max_bytes=10**6, rate=50_000, patience=0.5, longest=60)
        with (
            Spool(folder, max_bytes=100_000) as spool,
            spool.create_file() as file,
            bounds.admit("") as transfer,
        ):
            await downloader.fetch(url, file, transfer)
            return file.path.read_bytes()

    yield fetch


async def test_a_recording_is_fetched_also_after_a_redirect(net: Net, tmp_path: Path) -> None:
    async with fetching(tmp_path) as fetch:
        assert await fetch(net.url("/sound")) == SOUND
        assert await fetch(net.url("/moved?to=/sound")) == SOUND
        assert await fetch(net.url(f"/moved?to={net.url('/sound')}")) == SOUND


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2:{port}/",
        "http://127.2:{port}/",
        "http://2130706434:{port}/",
        "http://0x7f000002:{port}/",
        "http://0177.0.0.2:{port}/",
        "http://0x7f.0.0.0x2:{port}/",
        "http://[::ffff:127.0.0.2]:{port}/",
        "http://[::ffff:7f00:2]:{port}/",
        "http://127.0.0.1@127.0.0.2:{port}/",
        "http://127.0.0.1:{port}@127.0.0.2:{port}/",
        "http://127.0.0.1%00@127.0.0.2:{port}/",
        "http://127.0.0.1\\@127.0.0.2:{port}/",
        "http://127.0.0.1#@127.0.0.2\\:{port}/",
        "http://①②⑦.0.0.2:{port}/",
        "http://127.0.0.2.:{port}/",
        "file:///etc/passwd",
        "http://no-such-host.invalid/",
    ],
)
async def test_no_spelling_of_an_address_gets_through(net: Net, tmp_path: Path, url: str) -> None:
    async with fetching(tmp_path) as fetch:
        with pytest.raises(RefusedAddress):
            await fetch(url.replace("{port}", str(net.port)))

    assert net.visits == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2:{port}/", "//127.0.0.2:{port}/", "file:///etc/passwd", "ftp://a/"]
)
async def test_a_redirect_is_checked_like_a_url(net: Net, tmp_path: Path, target: str) -> None:
    to = target.replace("{port}", str(net.port))
    async with fetching(tmp_path) as fetch:
        with pytest.raises(RefusedAddress):
            await fetch(net.url(f"/moved?to={to}"))

    assert net.visits == []


async def test_a_name_that_changes_its_address_is_connected_to_where_it_was_checked(
    net: Net, tmp_path: Path
) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]])

    async def rebinding(_host: str, _port: int) -> list[str]:
        return next(answers)

    async with fetching(tmp_path, rebinding) as fetch:
        assert await fetch(net.url("/sound", "rebinding.example")) == SOUND
        with pytest.raises(RefusedAddress):
            await fetch(net.url("/sound", "rebinding.example"))

    assert net.visits == []


async def test_a_name_with_one_bad_address_among_good_ones_is_refused(
    net: Net, tmp_path: Path
) -> None:
    async def both(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1", "127.0.0.2"]

    async with fetching(tmp_path, both) as fetch:
        with pytest.raises(RefusedAddress):
            await fetch(net.url("/sound", "both.example"))


async def test_a_resolver_that_disagrees_with_a_literal_changes_nothing(
    net: Net, tmp_path: Path
) -> None:
    async def wrong(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async with fetching(tmp_path, wrong) as fetch:
        with pytest.raises(FetchFailed):
            await fetch(net.url("/", "127.0.0.2"))

    assert net.visits == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/endless", Unprocessable),
        ("/silent", FetchFailed),
        ("/trickle", FetchFailed),
        ("/loop", FetchFailed),
        ("/broken", FetchFailed),
        ("/nothing", InvalidRequest),
    ],
)
async def test_nobody_can_hold_the_server_up(
    net: Net, tmp_path: Path, path: str, problem: type[Problem]
) -> None:
    async with fetching(tmp_path) as fetch:
        with pytest.raises(problem):
            await fetch(net.url(path))


async def test_what_comes_is_not_unpacked(net: Net, tmp_path: Path) -> None:
    async with fetching(tmp_path) as fetch:
        assert await fetch(net.url("/bomb")) == b"\x1f\x8b packed"


async def test_the_environments_proxy_is_not_used(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, net.url("", "127.0.0.2"))
    async with fetching(tmp_path) as fetch:
        assert await fetch(net.url("/sound")) == SOUND

    assert net.visits == []


async def test_the_server_refuses_what_is_not_public(net: Net) -> None:
    async with gpu_server() as (client, server):
        answer = await client.post("/transcribe-url", {"audio_url": net.url("/sound")})

        assert (answer.status, answer.body["code"]) == (400, "refused_address")
        assert "127.0.0" not in answer.body["message"]

        object.__setattr__(server.parts, "downloader", Downloader(patience=5, allowed=only_one))
        fetched = await client.post("/transcribe-url", {"audio_url": net.url("/sound")})

        assert fetched.body["text"] == "it came from elsewhere"
