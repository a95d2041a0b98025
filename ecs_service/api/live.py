"""The native live protocol: one WebSocket to speak, one to listen.

The messages are defined in `transcripts.protocol`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar
from uuid import uuid4

import structlog
from aiohttp import WSMsgType, web
from pydantic import ValidationError

from ecs_service import telemetry
from ecs_service.access import admit
from ecs_service.api.socket import Outgoing, Socket, upgrade
from ecs_service.conversations.hub import Hub
from ecs_service.conversations.updates import Updates
from ecs_service.refusal import Refusal
from ecs_service.sessions.stream import Stream, StreamRequest, Streams
from speech.pcm import PcmFormat
from transcripts.models import ConversationId
from transcripts.protocol import (
    CLOSE_GOING_AWAY,
    HEARTBEAT_SECONDS,
    IDLE_SECONDS,
    MAX_FRAME_BYTES,
    Closed,
    ConnectParameters,
    ErrorCode,
    Heartbeat,
    Parameters,
    Ready,
    Start,
    TranscribeParameters,
    control_message,
)

STREAMS = web.AppKey("streams", Streams)
HUB = web.AppKey("hub", Hub)
UPDATES = web.AppKey("updates", Updates)
#: Set when viewers should go: everything that was said has been told.
CLOSING = web.AppKey("closing", asyncio.Event)

#: How often a speaker is told how far the server is, and idle streams are looked for, seconds.
TICK_SECONDS = 1.0

End = Literal["stopped", "max_duration", "draining", "disconnected", "refused"]
_P = TypeVar("_P", bound=Parameters)

routes = web.RouteTableDef()
log = structlog.get_logger(__name__)


# --- speaking -------------------------------------------------------------------------------


@routes.get("/api/stt/transcribe")
async def transcribe(request: web.Request) -> web.StreamResponse:
    """Take a speaker's audio and tell what is understood."""
    admit(request)
    socket = await upgrade(request)
    streams = request.app[STREAMS]
    async with Outgoing(socket, request.transport) as out, _refusals_told(out):
        wanted = _parameters(TranscribeParameters, request)
        stream_request = StreamRequest(
            conversation_id=wanted.conversation_id or uuid4().hex[:12],
            speaker=wanted.speaker,
            language=wanted.language,
            audio=PcmFormat(wanted.sample_rate, wanted.channels),
        )
        async with streams.open(stream_request) as stream:
            out.tell(
                Ready(
                    conversation_id=stream_request.conversation_id,
                    stream_id=stream.id,
                    engine=streams.engine.name,
                    language=wanted.language,
                    sample_rate=wanted.sample_rate,
                    channels=wanted.channels,
                    max_seconds=streams.max_seconds,
                )
            )
            await _Speaking(socket, out, stream).run()
    return socket


class _Speaking:
    """One speaker's connection: what is read from it, and what it is told."""

    def __init__(self, socket: Socket, out: Outgoing, stream: Stream) -> None:
        self._socket = socket
        self._out = out
        self._stream = stream
        self._interim_results = True

    async def run(self) -> None:
        """Serve the connection to its end; what was said before the end still becomes final.

        Raises:
            Refusal: the last results could not be had.
        """
        stream = self._stream
        telling = asyncio.create_task(self._tell())
        try:
            try:
                end = await _first(
                    self._read(), self._tick(), self._drained(), self._lost(), _outcome(telling)
                )
            except Refusal as refusal:
                # The client learns it now; to finish the utterance may take a moment.
                await self._out.refuse(refusal)
                end = "refused"
            stream.finish()
            await telling
        finally:
            telling.cancel()
            log.info(
                "stream_ended",
                stream=stream.id,
                end=end,
                seconds=round(stream.received, 3),
                finals=stream.finals,
            )
        self._out.tell(stream.ack())
        if end in {"stopped", "max_duration", "draining"}:
            self._out.tell(Closed(reason=end, duration=stream.received, finals=stream.finals))
        if end == "draining":
            await self._out.close(CLOSE_GOING_AWAY)

    async def _read(self) -> End:
        """Take what the client sends until it stops."""
        receive, accept = self._socket.receive, self._stream.accept
        while True:
            message = await receive()
            if message.type is WSMsgType.BINARY:
                _check_size(message.data)
                await accept(message.data)
                if self._stream.exhausted:
                    return "max_duration"
            elif message.type is WSMsgType.TEXT:
                _check_size(message.data)
                if self._control(message.data):
                    return "stopped"
            else:
                return "disconnected"

    def _control(self, frame: bytes) -> bool:
        """Obey a control frame; return whether it ends the stream."""
        try:
            message = control_message.validate_json(frame)
        except ValidationError as error:
            raise Refusal(
                ErrorCode.INVALID_MESSAGE, f"Not a control message: {_explain(error)}."
            ) from None
        if not isinstance(message, Start):
            return True
        if self._stream.started:
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "`start` has to come before any audio.")
        self._interim_results = message.interim_results
        if message.format is not None:
            audio = PcmFormat(message.format.sample_rate, message.format.channels)
            self._stream.set_format(audio)
        if message.traceparent is not None:
            log.info("stream_traced", stream=self._stream.id, traceparent=message.traceparent)
        return False

    async def _tell(self) -> None:
        async for frame, is_final in self._stream.frames():
            if is_final or self._interim_results:
                self._out.offer(frame)

    async def _tick(self) -> End:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._out.tell(self._stream.ack())
            if self._stream.silent_for > IDLE_SECONDS:
                raise Refusal(
                    ErrorCode.IDLE_TIMEOUT, f"No audio came for {IDLE_SECONDS:g} seconds."
                )

    async def _drained(self) -> End:
        await self._stream.draining.wait()
        return "draining"

    async def _lost(self) -> End:
        await self._out.until_lost()
        return "disconnected"


# --- listening ------------------------------------------------------------------------------


@routes.get("/api/stt/connect")
async def connect(request: web.Request) -> web.StreamResponse:
    """Show a conversation to a viewer."""
    admit(request)
    socket = await upgrade(request)
    app = request.app
    async with Outgoing(socket, request.transport) as out, _refusals_told(out):
        wanted = _parameters(ConnectParameters, request)
        show = _show_live if wanted.mode == "live" else _show_snapshots
        with telemetry.viewers.track_inprogress():
            end = await _first(
                show(app[HUB], app[UPDATES], wanted.conversation_id, out),
                _hear_nothing(socket),
                _going_away(app[CLOSING]),
                _lost(out),
            )
        if end == "draining":
            await out.close(CLOSE_GOING_AWAY)
    return socket


async def _show_live(
    hub: Hub, updates: Updates, conversation_id: ConversationId, out: Outgoing
) -> End:
    complete = await updates.refresh(conversation_id)
    with hub.listening(conversation_id, out) as conversation:
        # No await in between: the next message is the first that the snapshot does not hold.
        out.tell(conversation.snapshot(complete=complete))
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            out.tell(Heartbeat(conversation_id=conversation_id, seq=conversation.seq))


async def _show_snapshots(
    hub: Hub, updates: Updates, conversation_id: ConversationId, out: Outgoing
) -> End:
    while True:
        complete = await updates.refresh(conversation_id)
        out.tell(hub.conversation(conversation_id).snapshot(complete=complete))
        await asyncio.sleep(HEARTBEAT_SECONDS)


async def _hear_nothing(socket: Socket) -> End:
    message = await socket.receive()
    if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
        raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "A viewer only listens.")
    return "disconnected"


async def _going_away(closing: asyncio.Event) -> End:
    await closing.wait()
    return "draining"


async def _lost(out: Outgoing) -> End:
    await out.until_lost()
    return "disconnected"


# --- both -----------------------------------------------------------------------------------


@asynccontextmanager
async def _refusals_told(out: Outgoing) -> AsyncIterator[None]:
    """Tell the client why it is refused; a defect of ours is logged and told as one."""
    try:
        yield
    except Refusal as refusal:
        await out.refuse(refusal)
    except Exception:
        log.exception("connection_failed")
        await out.refuse(Refusal(ErrorCode.INTERNAL, "The service failed; this was logged."))


async def _first(*ways: Coroutine[Any, Any, End]) -> End:
    """Return how it ended: the result of the way that is done first. The others are cancelled."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task in done).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _outcome(telling: asyncio.Task[None]) -> End:
    """Wait for the results to end, which they do before the audio only by an error."""
    await asyncio.shield(telling)
    return "disconnected"


def _parameters(kind: type[_P], request: web.Request) -> _P:
    try:
        return kind.model_validate(dict(request.query))
    except ValidationError as error:
        raise Refusal(ErrorCode.INVALID_PARAMETER, f"{_explain(error)}.") from None


def _explain(error: ValidationError) -> str:
    """Say what is wrong without repeating the input, which may be long or private."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'message'}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)[:5]
    )


def _check_size(frame: bytes) -> None:
    if len(frame) > MAX_FRAME_BYTES:
        raise Refusal(
            ErrorCode.FRAME_TOO_LARGE, f"A frame may hold {MAX_FRAME_BYTES // 1024} KiB at most."
        )
