"""A WebSocket that is written to without waiting.

Everything a client is told goes through an `Outgoing`: a bounded queue and a task that
empties it into the socket. Whoever publishes never waits for a slow reader; a reader that
stays behind is closed with `slow_consumer` and costs nobody else anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Self

from aiohttp import WSMsgType, web

from ecs_service import telemetry
from ecs_service.refusal import Refusal
from transcripts.models import Model
from transcripts.protocol import CLOSE_NORMAL, MAX_FRAME_BYTES, ErrorCode, encode

#: Frames and bytes that may wait for one reader, besides what the kernel buffers.
MAX_WAITING_FRAMES = 1024
MAX_WAITING_BYTES = 1024 * 1024
#: A closing peer gets this long to take the rest and to answer the close, in seconds.
CLOSE_SECONDS = 2.0

#: A WebSocket whose text frames stay bytes: they are parsed as JSON, not read as text.
Socket = web.WebSocketResponse[bool]


class Outgoing:
    """The sending half of a WebSocket. An async context manager: leaving it closes the socket."""

    def __init__(self, socket: Socket, transport: asyncio.BaseTransport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        self._sender: asyncio.Task[None]
        self._closed = False
        #: Set when nothing can be sent any more: the reader is gone, or too slow.
        self.lost = asyncio.Event()
        self.slow = False

    async def __aenter__(self) -> Self:
        self._sender = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def offer(self, frame: bytes) -> None:
        """Send one text frame when the socket takes it."""
        if self._closed or self.lost.is_set():
            return
        if len(self._frames) >= MAX_WAITING_FRAMES or self._bytes > MAX_WAITING_BYTES:
            self.slow = True
            self._give_up()
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._sent.clear()
        self._more.set()

    def tell(self, message: Model) -> None:
        """Send one message."""
        self.offer(encode(message))

    async def refuse(self, refusal: Refusal) -> None:
        """Tell why, and close with the code of `refusal`."""
        if not self._closed:
            telemetry.refusals.labels(refusal.code.value).inc()
            await self.close(refusal.close_code, last_words=encode(refusal.as_message()))

    async def close(self, code: int = CLOSE_NORMAL, *, last_words: bytes | None = None) -> None:
        """Send what waits, then `last_words`, then close. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._sent.wait()
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                if last_words is not None:
                    await self._socket.send_frame(last_words, WSMsgType.TEXT)
                await self._socket.close(code=code)
        # A closed transport still waits for its peer to read; that must end, too.
        if isinstance(self._transport, asyncio.Transport):
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)

    async def until_lost(self) -> None:
        """Wait for the end of the reader.

        Raises:
            Refusal: `slow_consumer`. Returns when the connection broke.
        """
        await self.lost.wait()
        if self.slow:
            raise Refusal(ErrorCode.SLOW_CONSUMER, "Too many messages wait to be read.")

    async def _send(self) -> None:
        try:
            while True:
                await self._more.wait()
                while self._frames:
                    frame = self._frames.popleft()
                    self._bytes -= len(frame)
                    await self._socket.send_frame(frame, WSMsgType.TEXT)
                self._more.clear()
                self._sent.set()
        except ConnectionError:
            self._give_up()

    def _give_up(self) -> None:
        self._frames.clear()
        self._bytes = 0
        self.lost.set()
        self._sent.set()


async def upgrade(request: web.Request) -> Socket:
    """Answer the upgrade to a WebSocket that has the protocol's limits.

    Raises:
        web.HTTPUpgradeRequired: the request does not ask for a WebSocket.
    """
    socket: Socket = web.WebSocketResponse(
        # Twice the limit, so that an over-long frame gets a named error and not just 1009.
        max_msg_size=2 * MAX_FRAME_BYTES,
        # Captions are short, and PCM hardly shrinks.
        compress=False,
        autoclose=False,
        timeout=CLOSE_SECONDS,
        decode_text=False,
    )
    if not socket.can_prepare(request):
        raise web.HTTPUpgradeRequired(
            text="This is a WebSocket endpoint; docs/protocol.md describes it.\n",
            headers={"Upgrade": "websocket"},
        )
    await socket.prepare(request)
    return socket
