"""Accepts connections, and bounds how many of them are pending: without a slot.

A connection that sends nothing, sends half a request, or stays open after its response costs a
descriptor and memory. So the number of connections that hold no slot, neither a viewer's nor a
speaker's, is bounded, and a new one drops the oldest. Regular clients are not affected, because a
request is answered as soon as it is complete. Each request has a deadline, too.

The sockets are picows'. Its own server does not give the client's address before the upgrade, nor
notify of connections that begin and end. So picows' protocol class is instantiated here with the
arguments that its server would pass. That class is not documented: if a version of picows wants
other arguments, every connection fails, and with it every test.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiofastnet
import structlog
from picows import WSAutoPingStrategy, WSUpgradeRequest, WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its stub leaves it out

from ecs_service import telemetry
from ecs_service.api.connection import MAX_TRANSPORT_FRAME_BYTES, Connection
from transcripts.protocol import REQUEST_SECONDS

#: Connections that the kernel queues until they are accepted.
BACKLOG = 1024
#: Connections accepted in a row before the loop handles other events, such as dropped connections.
ACCEPTS_AT_ONCE = 8
#: How long nothing is accepted after an accept failed, seconds.
PAUSE_SECONDS = 0.2
#: The initial read buffer of a connection, bytes; it grows for larger frames.
READ_BUFFER = 8 * 1024

log = structlog.get_logger(__name__)

#: Returns the connection that serves a request, or the HTTP response to it.
RequestHandler = Callable[
    [WSUpgradeRequest, "AcceptedConnection"], Connection | WSUpgradeResponseWithListener
]


class PendingConnections:
    """The accepted connections that hold no slot, oldest first; at most `most`."""

    def __init__(self, most: int) -> None:
        self.capacity = most
        self._pending: dict[AcceptedConnection, None] = {}

    def __len__(self) -> int:
        """Return the number of pending connections."""
        return len(self._pending)

    def add(self, connection: AcceptedConnection) -> None:
        """Add a new connection; drop the oldest if there are too many."""
        if len(self._pending) >= self.capacity:
            # One is dropped for each new one, and none when a slot is given up. So there are never
            # more connections than slots and `most` together, and a client that closes in order
            # after it gave up its slot is not dropped.
            self.drop_oldest()
        self._pending[connection] = None

    def drop_oldest(self) -> None:
        """Drop the oldest pending connection, if there is one."""
        oldest = next(iter(self._pending), None)
        if oldest is not None:
            del self._pending[oldest]
            telemetry.connections_dropped.inc()
            oldest.drop()

    def put_back(self, connection: AcceptedConnection) -> None:
        """Add a connection again that gave up its slot."""
        self._pending[connection] = None

    def remove(self, connection: AcceptedConnection) -> None:
        """Remove a connection: it holds a slot, or is gone."""
        self._pending.pop(connection, None)


class AcceptedConnection:
    """An accepted connection, which is pending unless it is protected."""

    __slots__ = ("_pending", "_transport", "peer")

    def __init__(self, pending: PendingConnections) -> None:
        self._pending = pending
        self._transport: asyncio.Transport | None = None
        #: The IP address at the other end of the socket.
        self.peer = ""

    def on_connected(self, transport: asyncio.Transport) -> None:
        """Note that the connection begins."""
        self._transport = transport
        self.peer = str((transport.get_extra_info("peername") or ("",))[0])
        self._pending.add(self)

    def on_disconnected(self) -> None:
        """Note that the connection is gone."""
        self._transport = None
        self._pending.remove(self)

    def drop(self) -> None:
        """Abort the connection."""
        if self._transport is not None:
            self._transport.abort()

    @contextmanager
    def protect(self) -> Iterator[None]:
        """Keep the connection from being dropped; see `Droppable`."""
        self._pending.remove(self)
        try:
            yield
        finally:
            if self._transport is not None:
                self._pending.put_back(self)


class _Socket(WSProtocol):  # type: ignore[misc]  # see the import
    """picows' protocol of a connection, which notifies of the connection's begin and end."""

    __slots__ = ("_connection",)

    def __init__(self, connection: AcceptedConnection, answer: RequestHandler) -> None:
        self._connection = connection
        super().__init__(
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=lambda request: answer(request, connection),
            logger=_LOGGER,
            disconnect_on_exception=True,
            websocket_handshake_timeout=REQUEST_SECONDS,
            enable_auto_ping=False,
            auto_ping_idle_timeout=20,
            auto_ping_reply_timeout=20,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,  # a `Connection` answers pings, within its limits
            max_frame_size=MAX_TRANSPORT_FRAME_BYTES,
            extra_headers=None,
            read_buffer_init_size=READ_BUFFER,
        )

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Notify of the begin."""
        super().connection_made(transport)
        self._connection.on_connected(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify of the end."""
        self._connection.on_disconnected()
        super().connection_lost(exc)


#: An adapter, because picows wraps a plain logger in a new one for each connection.
_LOGGER = logging.LoggerAdapter(logging.getLogger("picows"))


class Acceptor:
    """Accepts connections at a bound socket, and passes their requests on, until it is closed.

    aiofastnet's own server is not used: without free descriptors version 1.2.0 fails to stop
    reading, spins, and logs a thousand errors a second. aiofastnet's transports are required: on
    those of uvloop, picows 2.3.1 overwrites the header of a frame of more than 8 KiB when another
    frame is sent before that one is written.
    """

    def __init__(
        self, answer: RequestHandler, pending: PendingConnections, bound: socket.socket
    ) -> None:
        """Start to accept connections; needs a running loop."""
        # A client's protocol violation is no error of ours, and our own errors are logged by us.
        _LOGGER.setLevel(logging.CRITICAL)
        self._pending = pending
        self._factory = lambda: _Socket(AcceptedConnection(pending), answer)
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._bound = bound
        bound.settimeout(0)
        bound.listen(BACKLOG)
        self._resume()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._bound.getsockname()[1])

    def close(self) -> None:
        """Stop accepting."""
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._bound)
        self._bound.close()

    def _resume(self) -> None:
        self._loop.add_reader(self._bound, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                connection, _address = self._bound.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                # No memory, or no descriptors in spite of the shares: drop one, and pause.
                log.warning("accept_failed", error=str(error))
                self._pending.drop_oldest()
                self._loop.remove_reader(self._bound)
                self._resuming = self._loop.call_later(PAUSE_SECONDS, self._resume)
                return
            task = self._loop.create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(0)
            await aiofastnet.connect_accepted_socket(self._loop, self._factory, connection)
        except OSError:  # it is gone already
            connection.close()
        except Exception:
            log.exception("connection_failed")
            connection.close()
