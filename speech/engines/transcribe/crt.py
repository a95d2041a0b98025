"""One request over HTTP/2 and a connection of its own, on the AWS Common Runtime.

It takes the place of the SDK's HTTP session, whose futures never hear of a connection that is
lost, and do not bear to be cancelled. The runtime calls from a thread of its own; what it says is
handed to the event loop, and what the loop writes waits in `Body` until that thread takes it.

The runtime asks a body that has nothing for more, again and again without a pause: one open
stream takes a core. It must be made to wait, see `PAUSE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress
from io import BufferedIOBase
from threading import RLock
from typing import Any
from urllib.parse import urlsplit

from amazon_transcribe.response import Response
from awscrt.exceptions import AwsCrtError  # type: ignore[import-untyped]  # it has no annotations
from awscrt.http import (  # type: ignore[import-untyped]  # likewise
    HttpClientConnection,
    HttpHeaders,
    HttpRequest,
    HttpVersion,
)
from awscrt.io import ClientTlsContext, SocketOptions  # type: ignore[import-untyped]  # likewise

from speech.engines.transcribe.errors import ConnectionLost, EndpointUnreachable

#: The runtime's thread sleeps for this time when it has found no data in any stream, in seconds.
#: Without it one idle stream takes a core. Audio leaves so much later at most.
PAUSE_SECONDS = 0.004
#: Bytes of the service's that may wait for the event loop.
MAX_WAITING_BYTES = 1024 * 1024
#: A connection gets so long to be closed, in seconds.
CLOSE_SECONDS = 1.0
CONNECT_MILLISECONDS = 3_000
#: A network that is gone is found by TCP within three times this.
KEEP_ALIVE_SECONDS = 10
_HTTPS_PORT = 443


class Body(BufferedIOBase):
    """What is written on the event loop, without waiting, and read in the runtime's thread."""

    _open = 0  # bodies that the thread asks in turn
    _lock = RLock()  # the collector may close a body while another is locked

    def __init__(self, taken: Callable[[], None]) -> None:
        """Make an empty body; `taken` is called in the runtime's thread when all was read."""
        self._chunks: deque[memoryview] = deque()
        self._taken = taken
        self._complete = False
        #: Bytes that were written and not read.
        self.waiting = 0
        with Body._lock:
            Body._open += 1

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # the SDK writes bytes
        """Add to the body; nothing once it is complete."""
        if data and not self._complete:
            with Body._lock:
                self._chunks.append(memoryview(data))
                self.waiting += len(data)
        return len(data)

    def end_stream(self) -> None:
        """Note that nothing more comes, so that the runtime stops asking."""
        with Body._lock:
            if not self._complete:
                self._complete = True
                Body._open -= 1

    def close(self) -> None:
        """Drop what is left."""
        self.end_stream()
        with Body._lock:
            self._chunks.clear()
            self.waiting = 0

    def readinto1(self, buffer: Any, /) -> int:
        """Fill `buffer`; 0 is the end. In the runtime's thread.

        Raises:
            BlockingIOError: there is nothing yet.
        """
        with Body._lock:
            size = self._take(buffer)
            empty = size > 0 and not self.waiting
            share = PAUSE_SECONDS / max(1, Body._open)
            complete = self._complete
        if empty:
            self._taken()
        if size or complete:
            return size
        time.sleep(share)
        raise BlockingIOError

    def _take(self, buffer: Any) -> int:
        size = 0
        while self._chunks and size < len(buffer):
            chunk = self._chunks.popleft()
            piece = chunk[: len(buffer) - size]
            buffer[size : size + len(piece)] = piece
            size += len(piece)
            if len(piece) < len(chunk):
                self._chunks.appendleft(chunk[len(piece) :])
        self.waiting -= size
        return size


class Exchange:
    """A request and its response. To the SDK it is both its HTTP session and the response."""

    def __init__(self, tls: ClientTlsContext, *, drained: Callable[[], None]) -> None:
        """Make an exchange.

        Args:
            tls: whom to trust.
            drained: called on the event loop when the body was taken.
        """
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        #: What the SDK writes to.
        self.body = Body(lambda: self._soon(drained))
        self._connection: HttpClientConnection | None = None
        self._closed = False
        self._connected: asyncio.Future[HttpClientConnection] = self._loop.create_future()
        self._answered: asyncio.Future[Response] = self._loop.create_future()
        self._received: deque[bytes] = deque()
        self._received_bytes = 0
        self._readable = asyncio.Event()
        self._over = False
        self._error: ConnectionLost | None = None
        self._disconnected = asyncio.Event()

    # --- the SDK's HTTP session -----------------------------------------------------------------

    async def make_request(
        self, url: str, method: str, headers: list[tuple[str, str]], body: Body
    ) -> Exchange:
        """Connect and send the request.

        Raises:
            EndpointUnreachable: there is no connection, or not one of HTTP/2.
        """
        address = urlsplit(url)
        host = address.hostname or ""
        tls = self._tls.new_connection_options()
        tls.set_server_name(host)
        tls.set_alpn_list(["h2"])
        connecting = HttpClientConnection.new(
            host_name=host,
            port=address.port or _HTTPS_PORT,
            socket_options=_socket_options(),
            tls_connection_options=tls,
        )
        connecting.add_done_callback(lambda future: self._soon(self._connect, future))
        connection = await self._connected
        if connection.version is not HttpVersion.Http2:
            raise EndpointUnreachable("Amazon Transcribe's endpoint does not speak HTTP/2")
        request = HttpRequest(
            method=method, path=address.path or "/", headers=HttpHeaders(headers), body_stream=body
        )
        stream = connection.request(request, self._on_headers, self._on_body)
        stream.completion_future.add_done_callback(self._on_complete)
        stream.activate()
        return self

    # --- the SDK's response ---------------------------------------------------------------------

    async def resolve_response(self) -> Response:
        """Return the status and the headers.

        Raises:
            ConnectionLost: none came.
        """
        return await self._answered

    async def consume_body(self) -> bytes:
        """Return all that comes."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what comes, up to the end of the stream in good order.

        Raises:
            ConnectionLost: it ended in any other way.
        """
        while True:
            while self._received:
                chunk = self._received.popleft()
                self._received_bytes -= len(chunk)
                yield chunk
            if self._error is not None:
                raise self._error
            if self._over:
                return
            self._readable.clear()
            await self._readable.wait()

    # --- for the link ---------------------------------------------------------------------------

    async def close(self) -> None:
        """End the request, wherever it is, and the connection. May be called twice."""
        self._closed = True
        self.body.close()
        if self._connection is not None:
            self._hang_up(self._connection)
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._disconnected.wait()
        for future in (self._connected, self._answered):
            future.cancel()

    # --- in the runtime's thread ----------------------------------------------------------------

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        """Have the loop call; when it is closed there is nobody left to hear it."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _on_headers(self, *, status_code: int, headers: list[tuple[str, str]], **_: object) -> None:
        self._soon(self._answer, status_code, headers)

    def _on_body(self, *, chunk: bytes, **_: object) -> None:
        self._soon(self._receive, bytes(chunk))

    def _on_complete(self, completion: Future[int]) -> None:
        self._soon(self._end, completion.exception())

    # --- on the event loop ----------------------------------------------------------------------

    def _connect(self, connecting: Future[HttpClientConnection]) -> None:
        error = connecting.exception()
        if error is None:
            connection = connecting.result()
            if self._closed:
                connection.close()
                return
            self._connection = connection
            connection.shutdown_future.add_done_callback(
                lambda _: self._soon(self._disconnected.set)
            )
            if not self._connected.done():
                self._connected.set_result(connection)
        elif not self._connected.done():
            why = f"Amazon Transcribe cannot be reached: {_reason(error)}"
            self._connected.set_exception(EndpointUnreachable(why))
            self._connected.exception()  # marks it as seen: there may be nobody left to look

    def _answer(self, status: int, headers: list[tuple[str, str]]) -> None:
        if not self._answered.done():
            self._answered.set_result(Response(status, dict(headers)))

    def _receive(self, chunk: bytes) -> None:
        self._received.append(chunk)
        self._received_bytes += len(chunk)
        if self._received_bytes > MAX_WAITING_BYTES and self._connection is not None:
            self._hang_up(self._connection)
        self._readable.set()

    def _end(self, error: BaseException | None) -> None:
        self.body.close()
        self._over = True
        if error is not None:
            self._error = ConnectionLost(
                f"the connection to Amazon Transcribe was lost: {_reason(error)}"
            )
        if not self._answered.done():
            lost = self._error or ConnectionLost("Amazon Transcribe ended the stream unanswered")
            self._answered.set_exception(lost)
            self._answered.exception()  # marks it as seen: there may be nobody left to look
        self._readable.set()

    def _hang_up(self, connection: HttpClientConnection) -> None:
        connection.close()


def _socket_options() -> SocketOptions:
    options = SocketOptions()
    options.connect_timeout_ms = CONNECT_MILLISECONDS
    options.keep_alive = True
    options.keep_alive_timeout_secs = KEEP_ALIVE_SECONDS
    options.keep_alive_interval_secs = KEEP_ALIVE_SECONDS
    options.keep_alive_max_probes = 2
    return options


def _reason(error: BaseException) -> str:
    """Return the runtime's name for what went wrong, which holds no address."""
    return str(error.name) if isinstance(error, AwsCrtError) else type(error).__name__
