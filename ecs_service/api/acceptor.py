"""The server's sockets, from accepting them on: who has no place yet, and how many may be so.

A connection that sends nothing, sends half a request, or stays after its answer costs a descriptor
and memory. So the number of those without a place (a viewer's, or a speaker's slot) is bounded, and
one more makes the oldest go. That harms nobody who wants something: a request is answered as soon
as it is there. Each request has a deadline, too.

Sockets are picows'. Its server gives no client's address before the upgrade, and no notice of
connections that begin and end. So its protocol class is made here, with the arguments that
picows' server gives it. The class is not documented: with a version that wants other arguments
every connection fails, and with it every test.
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

#: Connections that the kernel keeps for us to accept.
BACKLOG = 1024
#: Connections accepted before others get their turn, among them those that had to go for these.
ACCEPTS_AT_ONCE = 8
#: How long nothing is accepted after that has failed, seconds.
PAUSE_SECONDS = 0.2
#: What is allocated per connection to read into, bytes; it grows for larger frames.
READ_BUFFER = 8 * 1024

log = structlog.get_logger(__name__)

#: Answers a request: a connection, or an HTTP answer.
RequestHandler = Callable[
    [WSUpgradeRequest, "AcceptedConnection"], Connection | WSUpgradeResponseWithListener
]


class PendingConnections:
    """The accepted connections that have no place, at most `most`, the oldest first."""

    def __init__(self, most: int) -> None:
        self.capacity = most
        self._pending: dict[AcceptedConnection, None] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._pending)

    def add(self, connection: AcceptedConnection) -> None:
        """Take a new connection in; the oldest has to go if there are too many."""
        if len(self._pending) >= self.capacity:
            # One for one, and none when a place is given up: so there are never more connections
            # than places and `most`, and who leaves in order, with everybody else, is not cut off.
            self.drop_oldest()
        self._pending[connection] = None

    def drop_oldest(self) -> None:
        """Make the oldest go, if there is one."""
        oldest = next(iter(self._pending), None)
        if oldest is not None:
            del self._pending[oldest]
            telemetry.connections_dropped.inc()
            oldest.drop()

    def put_back(self, connection: AcceptedConnection) -> None:
        """Take a connection back that has given up its place."""
        self._pending[connection] = None

    def remove(self, connection: AcceptedConnection) -> None:
        """Forget a connection: it has a place, or is gone."""
        self._pending.pop(connection, None)


class AcceptedConnection:
    """An accepted connection."""

    __slots__ = ("_pending", "_transport", "peer")

    def __init__(self, pending: PendingConnections) -> None:
        self._pending = pending
        self._transport: asyncio.Transport | None = None
        #: The address at the other end of the socket.
        self.peer = ""

    def on_connected(self, transport: asyncio.Transport) -> None:
        """Learn that it is there."""
        self._transport = transport
        self.peer = str((transport.get_extra_info("peername") or ("",))[0])
        self._pending.add(self)

    def on_disconnected(self) -> None:
        """Learn that it is gone."""
        self._transport = None
        self._pending.remove(self)

    def drop(self) -> None:
        """Cut it off."""
        if self._transport is not None:
            self._transport.abort()

    @contextmanager
    def protect(self) -> Iterator[None]:
        """Hold a place; see `Droppable`."""
        self._pending.remove(self)
        try:
            yield
        finally:
            if self._transport is not None:
                self._pending.put_back(self)


class _Socket(WSProtocol):  # type: ignore[misc]  # see the import
    """picows' end of a connection, with notice of its begin and end."""

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
            enable_auto_pong=False,  # a `Connection` does it, within its bounds
            max_frame_size=MAX_TRANSPORT_FRAME_BYTES,
            extra_headers=None,
            read_buffer_init_size=READ_BUFFER,
        )

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._connection.on_connected(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._connection.on_disconnected()
        super().connection_lost(exc)


#: An adapter, for of a plain logger picows makes another one for each connection.
_LOGGER = logging.LoggerAdapter(logging.getLogger("picows"))


class Acceptor:
    """Accepts connections at a bound socket and has their requests answered, until it is closed.

    aiofastnet's own server is not used: when there are no descriptors left, version 1.2.0 fails to
    stop reading, spins, and logs a thousand errors a second. Its transports are used, and must be:
    on uvloop's, picows 2.3.1 overwrites the header of a frame of more than 8 KiB when another frame
    is sent before that one is written.
    """

    def __init__(
        self, answer: RequestHandler, pending: PendingConnections, bound: socket.socket
    ) -> None:
        """Begin; needs a running loop."""
        # A client that breaks the protocol is no error of ours, and our own are logged by us.
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
        """Where it listens."""
        return int(self._bound.getsockname()[1])

    def close(self) -> None:
        """Accept no more."""
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
                # No descriptors, though there are shares, or no memory: what can go, goes.
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
