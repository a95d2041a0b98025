"""A TCP proxy between a client and its server that a test can cut, silence and restore."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class FlakyLink:
    """Forwards connections to `target` until it is cut, which aborts the open ones.

    Another `target` is for the connections that follow.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._whole = True
        self._connections: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        #: How many connections were made.
        self.count = 0
        self.url = ""

    def cut(self) -> None:
        """Abort all connections, and refuse new ones."""
        self._whole = False
        for connection in self._connections:
            connection.cancel()

    def abort(self) -> None:
        """Abort all connections; new ones are forwarded."""
        self.cut()
        self.restore()

    def silence(self) -> None:
        """Forward nothing more on the open connections, and leave them open."""
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def restore(self) -> None:
        """Forward again."""
        self._whole = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.count += 1
        flowing = self._flowing
        try:
            address = urlsplit(self.target)
            there, back = await asyncio.open_connection(address.hostname, address.port)
            await asyncio.gather(pump(reader, back, flowing), pump(there, writer, flowing))
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()
            with contextlib.suppress(UnboundLocalError):
                back.transport.abort()


async def pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, flowing: asyncio.Event
) -> None:
    """Forward what is read, while it may flow, and then the end."""
    while data := await source.read(65_536):
        await flowing.wait()
        sink.write(data)
        await sink.drain()
    sink.write_eof()


@contextlib.asynccontextmanager
async def flaky_link(target: str) -> AsyncIterator[FlakyLink]:
    """Open a link to the server at the URL `target`."""
    link = FlakyLink(target)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    link.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield link
    finally:
        link.cut()
        server.close()
