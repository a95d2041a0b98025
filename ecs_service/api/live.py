"""The native live protocol: one WebSocket to speak, one to listen.

The messages are defined in `transcripts.protocol`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from uuid import uuid4

import structlog
from pydantic import ValidationError

from ecs_service.api.connection import CLOSE_SECONDS, Connection
from ecs_service.api.requests import Request
from ecs_service.callers import Caller
from ecs_service.conversations.hub import Hub
from ecs_service.conversations.translations import Translations
from ecs_service.conversations.updates import Updates
from ecs_service.refusal import Refusal
from ecs_service.sessions.stream import Stream, StreamRequest, Streams
from ecs_service.sessions.unread import Unread
from ecs_service.sessions.viewers import ViewerAdmission
from foundation.invalid import explain
from speech.pcm import PcmFormat
from transcripts.models import ConversationId, Language
from transcripts.protocol import (
    CLOSE_GOING_AWAY,
    HEARTBEAT_SECONDS,
    IDLE_SECONDS,
    Closed,
    ConnectParameters,
    ErrorCode,
    Heartbeat,
    Ready,
    Start,
    TranscribeParameters,
    control_message,
)

#: How long a shutdown waits for closed connections to go, in seconds.
FAREWELL_SECONDS = CLOSE_SECONDS + 1.0
#: How often a speaker is told how far the server is, in seconds.
ACK_SECONDS = 1.0
#: A viewer that takes nothing of what is sent to it for this long is cut off, in seconds.
UNREAD_SECONDS = 3 * HEARTBEAT_SECONDS
#: Messages that a speaker may send without waiting for `ready`.
MAX_EARLY = 50

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """What the connections of this protocol work with."""

    streams: Streams
    hub: Hub
    updates: Updates
    translations: Translations
    viewers: ViewerAdmission
    unread: Unread
    connections: set[Connection] = field(default_factory=set)

    def speak(self, request: Request, caller: Caller) -> Connection:
        """Return the connection of a speaker: `WS /api/stt/transcribe`."""
        return Speaking(self, caller, request)

    def listen(self, request: Request, caller: Caller) -> Connection:
        """Return the connection of a viewer: `WS /api/stt/connect`."""
        return Viewing(self, caller, request)

    def refuse(self, refusal: Refusal, caller: Caller) -> Connection:
        """Return a connection that ends with `refusal` at once."""
        return Refusing(self, caller, refusal)

    async def dismiss(self) -> None:
        """Let everybody go, all that was said having been told; wait until they went."""
        connections = tuple(self.connections)
        for connection in connections:
            connection.end("draining")
        if connections:
            leaving = [asyncio.create_task(connection.gone()) for connection in connections]
            await asyncio.wait(leaving, timeout=FAREWELL_SECONDS)


class Counted(Connection):
    """A connection whose refusals count for the address that it comes from."""

    def __init__(self, live: Live, caller: Caller) -> None:
        super().__init__(live.connections)
        self._live = live
        self._caller = caller

    def refuse(self, refusal: Refusal) -> None:
        """Send why, count it, and close."""
        self._caller.refused(refusal.code)
        super().refuse(refusal)


class Refusing(Counted):
    """Refuses a client by name, whatever it sends."""

    def __init__(self, live: Live, caller: Caller, refusal: Refusal) -> None:
        super().__init__(live, caller)
        self._refusal = refusal

    async def serve(self) -> None:
        """Refuse."""
        raise self._refusal

    def received_binary(self, message: bytes) -> None:
        """Drop it."""

    def received_text(self, message: bytes) -> None:
        """Drop it."""


class Speaking(Counted):
    """Takes a speaker's audio and tells what is understood."""

    _stream: Stream

    def __init__(self, live: Live, caller: Caller, request: Request) -> None:
        super().__init__(live, caller)
        self._request = request
        self._interim_results = True
        self._admitted = False
        #: What came with the handshake; reading is paused from there until `ready`.
        self._early: list[tuple[Callable[[bytes], None], bytes]] = []
        self._start_seen = False
        self._next_ack = monotonic() + ACK_SECONDS
        self._silence: asyncio.TimerHandle | None = None
        self._catching_up: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Serve the connection; what was said before its end still becomes final."""
        wanted = self._request.parameters(TranscribeParameters)
        request = StreamRequest(
            conversation_id=wanted.conversation_id or uuid4().hex[:12],
            speaker=wanted.speaker,
            language=wanted.language,
            audio=PcmFormat(wanted.sample_rate, wanted.channels),
            separate=wanted.channel_mode == "separate",
            options=wanted.options,
        )
        streams = self._live.streams
        with self._caller.holding.placed():
            async with streams.open(request, self) as self._stream:
                self.tell(
                    Ready(
                        conversation_id=request.conversation_id,
                        stream_id=self._stream.id,
                        engine=streams.engine.name,
                        language=wanted.language,
                        sample_rate=wanted.sample_rate,
                        channels=wanted.channels,
                        max_seconds=streams.max_seconds,
                    )
                )
                self._stream.last_audio = monotonic()  # opening an engine is no silence
                self._begin()
                await self._follow(self._stream)

    def _begin(self) -> None:
        """Take the client's messages, first those that came with the handshake."""
        self._admitted = True
        try:
            for receive, message in self._early:
                if not self.is_over:
                    receive(message)
        except Refusal as refusal:
            self.end(refusal)
        self._early.clear()
        self.resume_reading()

    def _keep(self, receive: Callable[[bytes], None], message: bytes) -> None:
        if len(self._early) == MAX_EARLY:
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "Wait for `ready` before you send audio.")
        self._early.append((receive, message))

    async def _follow(self, stream: Stream) -> None:
        finishing = asyncio.create_task(stream.finished())
        finishing.add_done_callback(self.end_if_failed)
        self._watch_for_silence()
        end = "refused"
        try:
            try:
                end = await self.until_ended()
            except Refusal as refusal:
                # The client learns it now; to finish the utterance may take a moment.
                self.refuse(refusal)
            stream.finish()
            while not (await asyncio.wait({finishing}, timeout=ACK_SECONDS))[0]:
                self._acknowledge()
            await finishing
        finally:
            for task in (finishing, self._silence, self._catching_up):
                if task is not None:
                    task.cancel()
            log.info(
                "stream_ended",
                stream=stream.id,
                end=end,
                seconds=round(stream.received, 3),
                finals=stream.finals,
            )
        self.tell(stream.ack())
        if end in {"stopped", "max_duration", "draining"}:
            self.tell(Closed(reason=end, duration=stream.received, finals=stream.finals))
        if end == "draining":
            self.close(CLOSE_GOING_AWAY)

    # --- the client's messages ------------------------------------------------------------

    def received_binary(self, message: bytes) -> None:
        """Take audio."""
        if not self._admitted:
            self._keep(self.received_binary, message)
            return
        stream = self._stream
        stream.accept(message)
        if stream.last_audio >= self._next_ack:
            # Here and not in a timer, which would wake the loop once more for each stream.
            self._acknowledge()
        if stream.exhausted:
            self.end("max_duration")
        elif stream.backlogged and self._catching_up is None:
            self.pause_reading()
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Read on when the engine is close enough behind; meanwhile, tell the lag."""
        caught_up = asyncio.create_task(self._stream.caught_up())
        try:
            while not (await asyncio.wait({caught_up}, timeout=ACK_SECONDS))[0]:
                self._acknowledge()
        finally:
            caught_up.cancel()
        self._catching_up = None
        self.resume_reading()

    def _acknowledge(self) -> None:
        self._next_ack = self._stream.last_audio + ACK_SECONDS
        self.tell(self._stream.ack())

    def received_text(self, message: bytes) -> None:
        """Obey a control frame."""
        if not self._admitted:
            self._keep(self.received_text, message)
            return
        try:
            control = control_message.validate_json(message)
        except ValidationError as error:
            raise Refusal(
                ErrorCode.INVALID_MESSAGE,
                f"Not a control message: {explain(error, whole='message')}.",
            ) from None
        if not isinstance(control, Start):
            self.end("stopped")
            return
        if self._stream.started or self._start_seen:
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "`start` comes once, before any audio.")
        self._start_seen = True
        self._interim_results = control.interim_results
        if control.format is not None:
            audio = PcmFormat(control.format.sample_rate, control.format.channels)
            self._stream.set_format(audio)
        if control.traceparent is not None:
            log.info("stream_traced", stream=self._stream.id, traceparent=control.traceparent)

    # --- the stream's messages ------------------------------------------------------------

    def published(self, frame: bytes, *, is_final: bool) -> None:
        """Pass on what everybody was told."""
        if is_final or self._interim_results:
            self.offer(frame)

    def interrupted(self) -> None:
        """The service drains: end here."""
        self.end("draining")

    def _watch_for_silence(self) -> None:
        remaining = IDLE_SECONDS - self._stream.silent_for
        if remaining <= 0:
            message = f"No audio came for {IDLE_SECONDS:g} seconds."
            self.end(Refusal(ErrorCode.IDLE_TIMEOUT, message))
            return
        loop = asyncio.get_running_loop()
        self._silence = loop.call_later(max(remaining, 0.05), self._watch_for_silence)


class Viewing(Counted):
    """Shows a conversation to a viewer."""

    def __init__(self, live: Live, caller: Caller, request: Request) -> None:
        super().__init__(live, caller)
        self._request = request

    async def serve(self) -> None:
        """Show the conversation until the viewer goes."""
        wanted = self._request.parameters(ConnectParameters)
        if self._live.streams.admission.draining:
            raise Refusal(ErrorCode.DRAINING, "The service is shutting down.", retry_after=1.0)
        target = self._target(wanted)
        with (
            self._live.viewers.place(wanted.conversation_id),
            self._caller.holding.placed(),
            self._live.unread.counting(self),
        ):
            self._give_up_on_silence()
            self.resume_reading()
            await self._show(wanted, target)

    async def _show(self, wanted: ConnectParameters, target: Language | None) -> None:
        showing = asyncio.create_task(
            self._show_live(wanted.conversation_id, target)
            if wanted.mode == "live"
            else self._show_snapshots(wanted.conversation_id)
        )
        showing.add_done_callback(self.end_if_failed)
        try:
            if await self.until_ended() == "draining":
                self.close(CLOSE_GOING_AWAY)
        finally:
            showing.cancel()

    def offer(self, frame: bytes) -> None:
        """Send one text frame; end the connection if too much waits for it, or for all viewers.

        In the second case at once, for what waits is what there is too much of.
        """
        waiting = self._tcp.get_write_buffer_size()
        if self._closed or self._live.unread.allows(self, waiting):
            super().offer(frame)
        else:
            self._closed = True
            message = "Too many messages wait to be read by too many viewers."
            self.end(Refusal(ErrorCode.SLOW_CONSUMER, message))
            self._tcp.abort()

    def _give_up_on_silence(self) -> None:
        """Have the system cut off a viewer that takes nothing: it is gone, or does not read.

        Otherwise one whose network is away holds its place for a quarter of an hour. (Linux; RFC
        5482 describes the timeout.)
        """
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            connection = self._tcp.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, option, round(UNREAD_SECONDS * 1000))

    def received_binary(self, message: bytes) -> None:
        """Refuse it, whatever it is."""
        del message
        raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "A viewer only listens.")

    def received_text(self, message: bytes) -> None:
        """Refuse it, whatever it is."""
        self.received_binary(message)

    def _target(self, wanted: ConnectParameters) -> Language | None:
        """Return what the viewer wants to read besides the originals.

        Raises:
            Refusal: it is not translated into, or not in this mode.
        """
        if wanted.language is None:
            return None
        if wanted.mode != "live":
            message = "There are translations with `mode=live` only."
            raise Refusal(ErrorCode.INVALID_PARAMETER, message)
        translations = self._live.translations
        target = translations.target(wanted.language)
        if target is None:
            offered = ", ".join(translations.languages) or "no language: there is no translator"
            message = f"Not translated into {wanted.language}, but into {offered}."
            raise Refusal(ErrorCode.UNSUPPORTED_LANGUAGE, message)
        return target

    async def _show_live(self, conversation_id: ConversationId, target: Language | None) -> None:
        complete = await self._live.updates.refresh(conversation_id)
        with contextlib.ExitStack() as stack:
            # No await in between: the next message is the first that the snapshot has not.
            conversation = stack.enter_context(self._live.hub.listening(conversation_id, self))
            snapshot = conversation.snapshot(complete=complete)
            self.tell(snapshot)
            if target is not None:
                reading = self._live.translations.reading(conversation, target, self, snapshot)
                stack.enter_context(reading)
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                self.tell(Heartbeat(conversation_id=conversation_id, seq=conversation.seq))

    async def _show_snapshots(self, conversation_id: ConversationId) -> None:
        while True:
            complete = await self._live.updates.refresh(conversation_id)
            conversation = self._live.hub.conversation(conversation_id)
            self.tell(conversation.snapshot(complete=complete))
            await asyncio.sleep(HEARTBEAT_SECONDS)
