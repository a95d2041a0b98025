"""The two connections of the live protocol: `Speaker` and `Viewer`.

`client.live.resuming` has a stream over any number of connections, `client.live.following` a
viewer that connects again.

    async with Speaker(url, TranscribeParameters(sample_rate=16_000)) as speaker:
        await speaker.send(pcm)
        await speaker.stop()
        async for message in speaker: ...

Send and iterate in two tasks: a service that is behind stops reading, and then `send` waits while
messages go on arriving.
"""

from __future__ import annotations

import asyncio
import json
import socket
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, Self, TypeAlias

import aiohttp
from pydantic import ValidationError
from yarl import URL

from access.messages import Problem
from client.errors import ConnectionLost, NoConnection, NotSignedIn, Refused
from client.live.endpoints import live_url, ticket_url
from transcripts import protocol
from transcripts.protocol import (
    DEAD_SECONDS,
    ERRORS,
    HEARTBEAT_SECONDS,
    RESUME_SUBPROTOCOL,
    SUBPROTOCOL,
    Closed,
    ConnectParameters,
    Continue,
    Error,
    ErrorCode,
    FromServer,
    Heartbeat,
    Pause,
    Ready,
    Start,
    Stop,
    TranscribeParameters,
)

Message: TypeAlias = FromServer

#: Time for a connection to be made and admitted, in seconds.
CONNECT_SECONDS = 10.0
#: A connection without a message for this long is dead, seconds. A viewer gets two heartbeats in
#: that time. A speaker who sends gets an ack every second, and one who does not is closed.
SILENCE_SECONDS = 2.5 * HEARTBEAT_SECONDS
#: Time for the other side's half of the closing handshake, seconds.
CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Received:
    """A message, and the text frame that it was parsed from."""

    text: str
    message: Message


class TicketSource(Protocol):
    """Returns the ticket of the next connection, and never the `refused` one; None: none needed."""

    def __call__(self, refused: str | None = None) -> Awaitable[str | None]:
        """Return the ticket."""


SIGN_IN_FIRST = "Sign in first: `python -m client login`."
#: Reasons of `access.tickets`, which loads cryptography that no client needs.
_INVALID, _EXPIRED, _MISMATCH = "ticket_invalid", "ticket_expired", "ticket_mismatch"
#: A new ticket helps against these refusals.
_STALE = {_INVALID, _EXPIRED, ErrorCode.TICKET_USED}
#: The most of a refusal that is read, bytes.
_MOST_BYTES = 2**14


async def no_ticket(refused: str | None = None) -> None:
    """Return no ticket, for a site that is open."""


class LiveConnection:
    """A WebSocket of the live protocol. Enter it to connect, iterate it for messages."""

    _socket: aiohttp.ClientWebSocketResponse

    def __init__(
        self, url: URL, ticket: TicketSource = no_ticket, *, subprotocols: tuple[str, ...] = ()
    ) -> None:
        self.url = url
        self._ticket = ticket
        self._subprotocols = subprotocols
        #: Without a message for so many seconds the line is dead.
        self._patience = SILENCE_SECONDS
        self._resources = AsyncExitStack()
        self._tcp: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            NoConnection: nobody answers, or not with a WebSocket.
            Refused: the service does not admit the connection, or connections come too fast.
            NotSignedIn: the service wants a ticket, and there is none.
            ConnectionLost: the connection was made and broke at once.
        """
        ticket = await self._ticket()
        try:
            await self._connect(ticket)
        except Refused as refusal:
            if ticket is None or refusal.code not in _STALE:
                raise
            # One new ticket at once; before more, the caller waits.
            await self._connect(await self._ticket(refused=ticket))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Yield the messages; see `received`."""
        async for received in self.received():
            yield received.message

    async def received(self) -> AsyncIterator[Received]:
        """Yield the messages and their text, up to `closed`. Unknown kinds are left out.

        Raises:
            Refused: the service ended the connection and gave a reason.
            ConnectionLost: it ended in any other way.
        """
        while True:
            received = await self._receive(self._patience)
            self._note(received.message)
            yield received
            if isinstance(received.message, Closed):
                return

    async def _connect(self, ticket: str | None) -> None:
        try:
            await self._open(ticket)
            await self._await_admission()
        except BaseException:
            await self._resources.aclose()
            raise

    async def _open(self, ticket: str | None) -> None:
        self._resources.callback(self._cut)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=self._tcp_socket),
            # No total timeout: these connections are meant to last.
            timeout=aiohttp.ClientTimeout(connect=CONNECT_SECONDS),
        )
        await self._resources.enter_async_context(session)
        try:
            # The library waits for ever for the answer to a handshake, as on a line that is dead.
            async with asyncio.timeout(CONNECT_SECONDS):
                self._socket = await session.ws_connect(
                    self.url,
                    protocols=self._subprotocols,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                    headers={} if ticket is None else {"Authorization": f"Bearer {ticket}"},
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise _too_many(error) from error
            if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                # Not chained: the error holds the request with its ticket.
                raise await self._explain(session, ticket, error.status) from None
            raise NoConnection(
                f"{self._place} answers, but not as this service does: HTTP {error.status}"
            ) from error
        except TimeoutError as error:
            raise NoConnection(
                f"{self._place} does not answer within {CONNECT_SECONDS:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            reason = getattr(error, "os_error", error)  # without aiohttp's own words
            raise NoConnection(f"{self._place} does not answer: {reason}") from error
        self._resources.push_async_callback(self._close)

    async def _explain(
        self, session: aiohttp.ClientSession, ticket: str | None, status: int
    ) -> Refused | NotSignedIn:
        """Return why a handshake was refused, whose own answer the library does not show."""
        if ticket is None:
            return NotSignedIn(f"{self._place} wants to know who you are. {SIGN_IN_FIRST}")
        reason = None
        with suppress(aiohttp.ClientError, OSError, ValidationError):
            async with session.get(
                ticket_url(self.url),
                headers={"Authorization": f"Bearer {ticket}"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=CONNECT_SECONDS),
            ) as answer:
                if not answer.ok:
                    body = await answer.content.read(_MOST_BYTES)
                    problem = Problem.model_validate_json(body)
                    reason = Refused(problem.reason, problem.detail, retryable=False)
        if reason is not None:
            return reason
        if status == HTTPStatus.FORBIDDEN:
            return Refused(_MISMATCH, "The right does not extend to this.")
        return Refused(_INVALID, "The service does not accept the ticket.")

    async def _close(self) -> None:
        """Close, but not for long: a service that does not read never answers."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()

    def _tcp_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol_number, _, _ = address
        self._tcp.append(socket.socket(family, kind, protocol_number))
        return self._tcp[-1]

    def _cut(self) -> None:
        """Cut sockets that are still open: a closed transport waits until everything was read."""
        for tcp in self._tcp:
            with suppress(OSError):  # it has ended gracefully
                tcp.shutdown(socket.SHUT_RDWR)

    @property
    def _place(self) -> str:
        return str(self.url.origin())

    @abstractmethod
    async def _await_admission(self) -> None:
        """Do what is due between the handshake and the first use."""

    def _note(self, message: Message) -> None:
        """Note what a message says of the connection itself."""

    async def _receive(self, patience: float) -> Received:
        while True:
            try:
                frame = await self._socket.receive(timeout=patience)
            except TimeoutError as error:
                raise ConnectionLost(f"nothing was received for {patience:g} s") from error
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise self._ended()
            message = _parse(frame.data)
            if isinstance(message, Error):
                raise _refused(message, message.code)
            if message is not None:
                return Received(frame.data, message)

    def _ended(self) -> Refused | ConnectionLost:
        """Return the error that a close code stands for if no `error` message came before it."""
        code = self._socket.close_code
        for name, kind in ERRORS.items():
            if kind.close_code == code:
                return Refused(name, kind.meaning)
        if code == protocol.CLOSE_GOING_AWAY:
            return ConnectionLost("the service is shutting down")
        return ConnectionLost(f"the connection to {self._place} ended (close code {code})")


class Speaker(LiveConnection):
    """One connection of a speaker. `ready` is the service's message at admission.

    A stream that is resumed after all of it was recognised has `closed` and no `ready`.
    """

    ready: Ready
    closed: Closed | None = None

    def __init__(
        self,
        base: str,
        parameters: TranscribeParameters,
        *,
        interim_results: bool = True,
        ticket: TicketSource = no_ticket,
        resume_token: str | None = None,
    ) -> None:
        """Make a connection.

        Args:
            base: the URL that people use.
            parameters: those of the stream.
            interim_results: whether partials are wanted.
            ticket: returns the ticket.
            resume_token: of the stream that goes on here; needs `attempt` in `parameters`.
        """
        resumed = (SUBPROTOCOL, f"{RESUME_SUBPROTOCOL}{resume_token}") if resume_token else ()
        super().__init__(live_url(base, parameters), ticket, subprotocols=resumed)
        self._interim_results = interim_results

    async def send(self, pcm: bytes) -> None:
        """Send one frame of audio; waits while the service does not read.

        Raises:
            ConnectionLost: the connection has ended; iterating raises the reason.
        """
        try:
            await self._socket.send_bytes(pcm)
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(f"the connection to {self._place} ended") from error

    async def continue_from(self, sample: int, age: float) -> None:
        """Announce with which sample the audio begins, and how many seconds old that is.

        Raises:
            ConnectionLost: the connection has ended; iterating raises the reason.
        """
        await self._send_message(Continue(sample=sample, age=age))

    async def pause(self, sample: int, seconds: float) -> None:
        """Announce that nothing was recorded for some seconds before a sample.

        Raises:
            ConnectionLost: the connection has ended; iterating raises the reason.
        """
        await self._send_message(Pause(sample=sample, seconds=seconds))

    def cut(self) -> None:
        """End the connection at once, because the other side does not answer any more."""
        self._cut()

    async def stop(self) -> None:
        """Announce the end of the audio. The last finals and `closed` follow.

        Raises:
            ConnectionLost: the connection has ended; iterating raises the reason.
        """
        await self._send_message(Stop())

    async def _await_admission(self) -> None:
        if not self._interim_results:
            await self._send_message(Start(interim_results=False))
        received = await self._receive(CONNECT_SECONDS)
        message = received.message
        if isinstance(message, Closed):
            self.closed = message
        elif isinstance(message, Ready):
            self.ready = message
            if message.resume_token is not None:
                self._patience = DEAD_SECONDS  # an `ack` comes every second
        else:
            raise ConnectionLost(f"expected `ready`, but {message.type!r} came")

    async def _send_message(self, message: Start | Continue | Pause | Stop) -> None:
        try:
            await self._socket.send_str(protocol.encode(message).decode())
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(f"the connection to {self._place} ended") from error


class Viewer(LiveConnection):
    """A subscriber of a conversation. The first message is a snapshot; there is no last one."""

    def __init__(
        self, base: str, parameters: ConnectParameters, ticket: TicketSource = no_ticket
    ) -> None:
        super().__init__(live_url(base, parameters), ticket)
        self._last_heartbeat = float("-inf")

    async def _await_admission(self) -> None:
        """Nothing: the snapshot is the first message."""

    def _note(self, message: Message) -> None:
        """Expect a message every second from a service that sends a heartbeat so often.

        A service of before sends one every ten seconds, whatever it is asked for.
        """
        if isinstance(message, Heartbeat):
            now = asyncio.get_running_loop().time()
            if now - self._last_heartbeat < DEAD_SECONDS:
                self._patience = DEAD_SECONDS
            self._last_heartbeat = now


def _too_many(error: aiohttp.WSServerHandshakeError) -> Refused:
    """Return the refusal of a service that answers before there is a WebSocket."""
    code = protocol.ErrorCode.RATE_LIMITED
    wait = error.headers.get("Retry-After", "") if error.headers else ""
    return Refused(code, ERRORS[code].meaning, float(wait) if wait.isdecimal() else None)


def _parse(text: str) -> Message | None:
    """Parse a message; return None for a kind that only a newer service knows.

    Raises:
        Refused: it is an error whose code only a newer service knows.
        ConnectionLost: it is none of the protocol.
    """
    try:
        return protocol.server_message.validate_json(text)
    except ValidationError as error:
        wrong = [(each["type"], each["loc"]) for each in error.errors(include_input=False)]
        if wrong[0][0] == "union_tag_invalid":
            return None
        if wrong == [("enum", ("error", "code"))]:
            sent = json.loads(text)
            code = sent.pop("code")
            if isinstance(code, str):
                refusal = Error.model_validate({**sent, "code": protocol.ErrorCode.INTERNAL})
                raise _refused(refusal, code) from error
        raise ConnectionLost("the server speaks another protocol") from error


def _refused(error: Error, code: str) -> Refused:
    return Refused(code, error.message, error.retry_after, retryable=error.retryable)
