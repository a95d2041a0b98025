"""CloudFront's stand-in: the page and the service behind one address.

It serves the built page and relays `/api/` to the service, with the headers and rules of the real
distribution. With accounts it also relays `/api/app/` to the API, and the pages of the sign-in to
the emulator. Nothing else in the tree knows it; a client sees the same paths, statuses, frames and
close codes as from the service itself, with two differences: frames are not compressed, and where a
connection breaks on one side, the other side gets a close code, because 1006 cannot be sent. Like
CloudFront it limits how long it waits for a client, except on a WebSocket; unlike CloudFront it
waits for the service as long as the service takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from aiohttp import (
    AddrInfoType,
    ClientConnectionError,
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    DummyCookieJar,
    TCPConnector,
    WSMessageTypeError,
    WSMsgType,
    hdrs,
    web,
)
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict
from yarl import URL

from foundation.connections import BACKLOG, BURST, ConnectionLimit
from foundation.descriptors import affordable_connections
from foundation.minimum_rate import MinimumRate, TooSlow, enforce_rate
from foundation.origins import ForeignPage, refuse_foreign_pages
from infra.web.page_headers import page_headers
from local_cloud.edge.accounts import ACCESS_FILE, EdgeAccounts, Target, describe_access
from local_cloud.edge.limits import EdgeLimits, LimitedConnection

#: Largest frame of a client that is relayed, bytes; the service itself refuses smaller ones.
MAX_CLIENT_FRAME: Final = 256 * 1024
#: Largest frame of the service that is relayed, bytes; a snapshot is its largest message.
MAX_SERVICE_FRAME: Final = 16 * 1024 * 1024
#: The kernel's buffer for a connection in each direction, bytes. Audio that waits in it is lag that
#: neither the speaker nor the service can see.
SOCKET_BUFFER: Final = 192 * 1024
#: A peer that reads nothing for this long is cut, seconds.
STUCK_SECONDS: Final = 30.0
#: Limit for the head of a request, from the last answer or the connection's start, seconds.
HEAD_SECONDS: Final = 15.0
#: How long the rest of a body is read after the answer, so that the client sees that, seconds.
LINGER_SECONDS: Final = 5.0
#: Limit for a client to read a file of the page, seconds.
PAGE_SECONDS: Final = 60.0
#: Minimal rate of a request's body, bytes per second.
BODY_RATE: Final = 16 * 1024
#: Most connections. Each may need another one to the service.
CONNECTIONS: Final = 2048
#: How long a closing peer may take to answer the close, seconds.
CLOSE_SECONDS: Final = 2.0

#: The connection to the service broke (IANA's registry: Bad Gateway).
CLOSE_SERVICE_LOST: Final = 1014
#: The client is gone without a close (RFC 6455: going away).
CLOSE_CLIENT_LOST: Final = 1001

#: The most of a refusal's body that is relayed, bytes; the service's have some hundreds.
MAX_REFUSAL: Final = 64 * 1024
#: Headers of a refused handshake that are relayed.
REFUSAL_HEADERS: Final = ("Cache-Control", "Content-Type", "Retry-After", "WWW-Authenticate")

SERVICE_AWAY: Final = "The service is not there; it may be starting. Try again in a few seconds.\n"

#: Names of this machine. Others are refused, or a page on the internet could resolve a name of its
#: own to the loopback address and read conversations ("DNS rebinding").
LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE)

#: The header with the client's address, for the service's rate limits, as CloudFront names it. A
#: client's own header of this name is replaced.
VIEWER_HEADER = "X-Cloudscribe-Viewer"
#: Headers of a single connection (RFC 9110, 7.6.1), and those that the client library sets itself.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
HANDSHAKE = frozenset(
    {
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    }
)

DIST = web.AppKey("dist", Path)
SERVICE = web.AppKey("service", str)
CLIENT = web.AppKey("client", ClientSession)
LIMITS = web.AppKey("limits", EdgeLimits)
#: None: everybody may do everything.
ACCOUNTS: web.AppKey[EdgeAccounts | None] = web.AppKey("accounts")

#: WebSockets whose text stays bytes, because it is only relayed.
ServerSocket = web.WebSocketResponse[bool]
ServiceSocket = ClientWebSocketResponse[bool]
Socket = ServerSocket | ServiceSocket


# --- decisions ---------------------------------------------------------------------------


def security_headers(host: str) -> dict[str, str]:
    """Return the headers of every answer of the page, whose sockets are at `host`.

    They are CloudFront's without the one that demands TLS, which the edge does not use.
    """
    headers = page_headers(f"ws://{host}")
    del headers["Strict-Transport-Security"]
    return headers


def find_file(dist: Path, path: str) -> Path | None:
    """Return the file for a decoded URL path; `None` where there is none.

    A path that names no file is a route of the page, for which `index.html` is returned, unless its
    last part has a dot: then it names a file that is missing. A file outside `dist` is never
    returned, nor a link to one.
    """
    index = dist / "index.html"
    try:
        file = (dist / path.lstrip("/")).resolve()
        inside = file.is_relative_to(dist.resolve())
        if inside and file.is_file():
            return file
    except (OSError, ValueError):  # too long, or not a name at all
        return None
    is_route = inside and "." not in path.rpartition("/")[2]
    return index if is_route and index.is_file() else None


def cache_control(dist: Path, file: Path) -> str:
    """Return the `Cache-Control` of a file: names in `assets/` contain a hash."""
    if file.parent.name == "assets" and file.parent.parent == dist.resolve():
        return "public, max-age=31536000, immutable"
    return "no-cache"


def has_dot_segments(raw_path: str) -> bool:
    """Return whether a URL path has `.` or `..` as a part, in any encoding."""
    return any(part in (".", "..") for part in re.split(r"[/\\]", unquote(raw_path)))


def forwarded(headers: Mapping[str, str], remote: str | None) -> CIMultiDict[str]:
    """Return the headers with which a request is relayed to the service."""
    named = {name.strip().lower() for name in headers.get(hdrs.CONNECTION, "").split(",")}
    kept = CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() not in HOP_BY_HOP | HANDSHAKE | named
    )
    path = [*headers.get("X-Forwarded-For", "").split(","), remote or "unknown"]
    kept["X-Forwarded-For"] = ", ".join(part.strip() for part in path if part.strip())
    kept["X-Forwarded-Proto"] = "http"
    kept[VIEWER_HEADER] = remote or "unknown"
    return kept


def passed_close(code: int | None, *, lost: int) -> int:
    """Return the code with which to close one side after the other ended with `code`.

    Some codes cannot be sent (RFC 6455, 7.4.1): no code (0 or 1005) becomes a normal close, and a
    broken connection (1006, 1015) becomes `lost`.
    """
    if code is None or code in (1006, 1015):
        return lost
    return 1000 if code in (0, 1005) else code


# --- requests -----------------------------------------------------------------------------


async def handle(request: web.Request) -> web.StreamResponse:
    """Answer a request, with 503 if too many are in work."""
    with request.app[LIMITS].work(request.transport) as is_admitted:
        if not is_admitted:
            text = "Too many requests are in work.\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "1"})
        return await _answer(request)


async def _answer(request: web.Request) -> web.StreamResponse:
    """Answer a request within the limits."""
    if not LOOPBACK.fullmatch(request.headers.get(hdrs.HOST, "")):
        text = "This server answers to localhost only.\n"
        return web.Response(status=421, text=text)
    raw_path = request.rel_url.raw_path
    if has_dot_segments(request.raw_path.partition("?")[0]):
        return web.Response(status=400, text="The path is malformed.\n")
    accounts = request.app[ACCOUNTS]
    if accounts and (target := accounts.find_target(request.method, raw_path)):
        return await relay_to_accounts(request, target)
    if not raw_path.startswith("/api/"):
        return serve_page(request)
    if web.WebSocketResponse().can_prepare(request):
        return await relay_socket(request)
    return await relay_http(
        request, _service_url(request), forwarded(request.headers, request.remote)
    )


async def relay_to_accounts(request: web.Request, target: Target) -> web.StreamResponse:
    """Relay a request to the API or to the pages of the sign-in."""
    try:
        # The browser sends the origin of the page that holds a form: nobody else's signs people in.
        refuse_foreign_pages(request.headers, loopback=True)
    except ForeignPage as page:
        return web.Response(status=403, text=f"{page}\n")
    headers = forwarded(request.headers, request.remote)
    del headers[hdrs.HOST]  # the emulator finds an API by its path, unless the host names another
    headers.update(target.headers)
    query = request.rel_url.raw_query_string
    url = URL(f"{target.url}?{query}" if query else target.url, encoded=True)
    return await relay_http(request, url, headers, target.answer_headers)


def serve_page(request: web.Request) -> web.StreamResponse:
    """Answer with a file of the page."""
    headers = security_headers(request.headers[hdrs.HOST])
    if request.method not in ("GET", "HEAD"):
        headers["Allow"] = "GET, HEAD"
        return web.Response(status=405, text="Only GET and HEAD.\n", headers=headers)
    if request.rel_url.raw_path == ACCESS_FILE:
        headers["Cache-Control"] = "no-cache"
        body = describe_access(request.app[ACCOUNTS], request.headers[hdrs.HOST])
        return web.Response(body=body, content_type="application/json", headers=headers)
    file = find_file(request.app[DIST], request.path)
    if file is None:
        return web.Response(status=404, text="There is no such file.\n", headers=headers)
    headers["Cache-Control"] = cache_control(request.app[DIST], file)
    return PageFile(file, headers=headers)


class PageFile(web.FileResponse):
    """A file of the page, with a limit on the time to send it."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the file; cut the connection where that takes too long.

        Raises:
            ConnectionError: it took too long.
        """
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                return await super().prepare(request)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("nobody reads the page") from None


async def relay_http(
    request: web.Request,
    url: URL,
    sent: CIMultiDict[str],
    answered: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Relay a request and its answer back, both in a stream.

    Args:
        request: the client's.
        url: where it is sent.
        sent: the headers with which it is sent.
        answered: further headers of an answer of the emulator. Its headers of CORS, by which
            pages of all origins could read it, are dropped.
    """
    response: web.StreamResponse | None = None
    pace = MinimumRate(BODY_RATE, STUCK_SECONDS)
    body = enforce_rate(request.content.iter_any(), pace) if request.body_exists else None

    def is_dropped(name: str) -> bool:
        return answered is not None and name.lower().startswith("access-control-")

    try:
        async with request.app[CLIENT].request(
            request.method,
            url,
            headers=sent,
            data=body,
            allow_redirects=False,
            timeout=ClientTimeout(total=None, sock_connect=5.0, sock_read=STUCK_SECONDS),
        ) as answer:
            headers = CIMultiDict(
                (name, value)
                for name, value in answer.headers.items()
                if name.lower() not in HOP_BY_HOP and not is_dropped(name)
            )
            headers.update(answered or {})
            response = web.StreamResponse(
                status=answer.status, reason=answer.reason, headers=headers
            )
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                async with asyncio.timeout(STUCK_SECONDS):
                    await response.write(chunk)
            await response.write_eof()
    except (ClientError, TimeoutError, ConnectionError) as error:
        if response is None:
            return _too_slow() if isinstance(error.__cause__, TooSlow) else _service_away()
        # Half of the answer was sent: only a cut connection shows that the rest is missing.
        if request.transport is not None:
            request.transport.abort()
    return response


async def relay_socket(request: web.Request) -> web.StreamResponse:
    """Relay a WebSocket to the service: every frame in both directions, and the close."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    try:
        async with asyncio.timeout(STUCK_SECONDS):
            service = await request.app[CLIENT].ws_connect(
                _service_url(request),
                headers=forwarded(request.headers, request.remote),
                protocols=[name.strip() for name in offered.split(",") if name.strip()],
                max_msg_size=MAX_SERVICE_FRAME,
                timeout=ClientWSTimeout(ws_close=CLOSE_SECONDS),
                autoclose=False,
                compress=0,
                decode_text=False,
            )
    except HandshakeRefused as refusal:
        return web.Response(status=refusal.status, body=refusal.body, headers=dict(refusal.headers))
    except (ClientError, TimeoutError):
        return _service_away()

    client: ServerSocket = web.WebSocketResponse(
        protocols=[service.protocol] if service.protocol else [],
        max_msg_size=MAX_CLIENT_FRAME + 1,
        timeout=CLOSE_SECONDS,
        autoclose=False,
        compress=False,
        decode_text=False,
    )
    async with _closing(service):
        await client.prepare(request)
        down = asyncio.create_task(pump(service, client))
        up = asyncio.create_task(pump(client, service))
        try:
            done, _ = await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
            if down in done:
                code = passed_close(service.close_code, lost=CLOSE_SERVICE_LOST)
                await _close(client, code, down.result())
                _cut_later(request)
            else:
                code = passed_close(client.close_code, lost=CLOSE_CLIENT_LOST)
                await _close(service, code, up.result())
                await _close(client, code, up.result())
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
    return client


async def pump(source: Socket, sink: Socket) -> bytes:
    """Relay frames until either side ends; return the reason of the source's close.

    Each frame is sent before the next is read, so a slow sink slows the source, and nothing is
    buffered in between.
    """
    while True:
        message = await source.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            try:
                async with asyncio.timeout(STUCK_SECONDS):
                    await sink.send_frame(message.data, message.type)
            except (TimeoutError, ConnectionError, ClientConnectionError):
                return b""
        elif message.type is WSMsgType.CLOSE:
            return (message.extra or "").encode()
        else:
            return b""


async def _close(socket: Socket, code: int, reason: bytes) -> None:
    with contextlib.suppress(ConnectionError, ClientError, WSMessageTypeError, TimeoutError):
        async with asyncio.timeout(2 * CLOSE_SECONDS):
            await socket.close(code=code, message=reason)


@contextlib.asynccontextmanager
async def _closing(service: ServiceSocket) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await _close(service, CLOSE_CLIENT_LOST, b"")


def _service_url(request: web.Request) -> URL:
    return URL(f"{request.app[SERVICE]}{request.rel_url.raw_path_qs}", encoded=True)


def _service_away() -> web.Response:
    return web.Response(status=502, text=SERVICE_AWAY, headers={"Retry-After": "2"})


def _too_slow() -> web.Response:
    return web.Response(status=408, text="The request's body does not come, or too slowly.\n")


def _cut_later(request: web.Request) -> None:
    """Cut the connection of a client that does not answer the close in time.

    A closed transport waits until its peer has read everything, which may be never.
    """
    transport = request.transport
    if transport is not None:
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, transport.abort)


# --- the server ---------------------------------------------------------------------------


def application(
    *, dist: Path, service: str, accounts: EdgeAccounts | None = None
) -> web.Application:
    """Return the edge of a service at `service`, e.g. `http://127.0.0.1:8081`.

    Without `accounts` everybody may do everything.
    """
    # It warns of subprotocols that a server does not know, and quotes them: one is a ticket.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    app = web.Application()
    app[DIST] = dist
    app[SERVICE] = service.rstrip("/")
    app[ACCOUNTS] = accounts
    app[LIMITS] = EdgeLimits(
        connections=ConnectionLimit(affordable_connections(CONNECTIONS, each=2)),
        patience=STUCK_SECONDS,
    )
    app.cleanup_ctx.append(_client)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def runner(app: web.Application, *, shutdown_timeout: float) -> web.AppRunner:
    """Return the runner of an edge; at the end requests in work get `shutdown_timeout` seconds."""
    return web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=shutdown_timeout,
        keepalive_timeout=HEAD_SECONDS,
        lingering_time=LINGER_SECONDS,
    )


async def listen(running: web.AppRunner, listener: socket.socket) -> asyncio.Server:
    """Serve the connections of a socket within the limits; close the returned server to stop."""
    make = running.server
    if make is None:
        raise RuntimeError("the runner is not set up")
    limits = running.app[LIMITS]
    server = await asyncio.get_running_loop().create_server(
        lambda: LimitedConnection(limits, make), sock=listener, backlog=BURST
    )
    listener.listen(BACKLOG)
    return server


def small_buffers(listener: socket.socket) -> socket.socket:
    """Set small kernel buffers on a socket, and so on those accepted from it; return it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    return listener


def _connection(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    return small_buffers(socket.socket(family, kind, protocol))


class HandshakeRefused(Exception):
    """The service refused a WebSocket before the upgrade."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


async def keep_refusal(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send a request of the edge; read the body of a refused handshake, which aiohttp drops.

    Raises:
        HandshakeRefused: the request was a handshake, and the service refused it.
    """
    answer = await handler(request)
    is_handshake = request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
    if not is_handshake or answer.status == HTTPStatus.SWITCHING_PROTOCOLS:
        return answer
    async with answer:
        body = b""
        while len(body) < MAX_REFUSAL and (chunk := await answer.content.read(MAX_REFUSAL)):
            body += chunk
    headers = {name: answer.headers[name] for name in REFUSAL_HEADERS if name in answer.headers}
    raise HandshakeRefused(answer.status, headers, body)


async def _client(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession(
        connector=TCPConnector(limit=0, socket_factory=_connection),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=5.0),
        auto_decompress=False,
        middlewares=(keep_refusal,),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    ) as session:
        app[CLIENT] = session
        yield
