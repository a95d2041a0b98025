"""What the sockets of all speakers have in common: they read audio and control messages."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from time import monotonic
from typing import Protocol
from uuid import uuid4

from pydantic import ValidationError

from ecs_service.access.door import Admission
from ecs_service.api.live import LiveConnection, LiveContext
from ecs_service.api.requests import HttpRequest
from ecs_service.limits.callers import ConnectedClient
from ecs_service.refusal import Refusal
from ecs_service.sessions.stream import StreamRequest
from foundation.invalid import explain
from speech.pcm import PcmFormat
from transcripts.protocol import (
    IDLE_SECONDS,
    Ack,
    ErrorCode,
    FromClient,
    TranscribeParameters,
    control_message,
)

#: Between two acknowledgements to a speaker, in seconds.
ACK_SECONDS = 1.0
#: Messages that a speaker may send without waiting for `ready`.
MAX_EARLY_MESSAGES = 50


def to_stream_request(wanted: TranscribeParameters) -> StreamRequest:
    """Return what a speaker's query asks for; without a conversation, in a new one."""
    return StreamRequest(
        conversation_id=wanted.conversation_id or uuid4().hex[:12],
        speaker=wanted.speaker,
        language=wanted.language,
        audio=PcmFormat(wanted.sample_rate, wanted.channels),
        separate=wanted.channel_mode == "separate",
        options=wanted.options,
    )


class AudioSink(Protocol):
    """What takes the audio of a connection."""

    def accept(self, pcm: bytes) -> None:
        """Take one message of audio; raise the Refusal of one that does not fit."""

    @property
    def last_audio(self) -> float:
        """When audio came last, by the monotonic clock."""

    @property
    def idle_seconds(self) -> float:
        """Seconds without audio from the client; 0 while it is not read because of a backlog."""

    @property
    def is_exhausted(self) -> bool:
        """Whether it has received all the audio that the operator allows."""

    @property
    def backlogged(self) -> bool:
        """Whether no audio should be read before `catch_up`."""

    async def catch_up(self) -> None:
        """Wait until there is room again."""

    def ack(self) -> Ack:
        """Return how much audio was received and processed."""


class AudioConnection(LiveConnection):
    """Reads a speaker's audio and control messages, at the pace of what takes the audio."""

    _sink: AudioSink

    def __init__(
        self, live: LiveContext, request: HttpRequest, client: ConnectedClient, admission: Admission
    ) -> None:
        super().__init__(live, client, admission)
        self._request = request
        self._interim_results = True
        self._is_ready = False
        #: Messages that came with the handshake; reading is paused from there until `ready`.
        self._early: list[tuple[Callable[[bytes], None], bytes]] = []
        self._next_ack = monotonic() + ACK_SECONDS
        self._catching_up: asyncio.Task[None] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    def start_reading(self) -> None:
        """Handle messages from now on; first those that arrived with the handshake."""
        self._is_ready = True
        try:
            for handle, message in self._early:
                if not self.is_over:
                    handle(message)
        except Refusal as refusal:
            self.end(refusal)
        self._early.clear()
        self.resume_reading()

    def _defer(self, handle: Callable[[bytes], None], message: bytes) -> None:
        if len(self._early) == MAX_EARLY_MESSAGES:
            raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "Wait for `ready` before you send audio.")
        self._early.append((handle, message))

    # --- messages from the client ---------------------------------------------------------

    def on_binary(self, message: bytes) -> None:
        """Pass audio to the stream; pause reading if the engine is too far behind."""
        if not self._is_ready:
            self._defer(self.on_binary, message)
            return
        sink = self._sink
        sink.accept(message)
        if sink.last_audio >= self._next_ack:
            # Here and not in a timer, which would wake the loop once more for each stream.
            self.acknowledge()
        if sink.is_exhausted:
            self.on_exhausted()
        elif sink.backlogged and self._catching_up is None:
            self.pause_reading()
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Resume reading when the engine has caught up; acknowledge with the lag meanwhile."""
        catching_up = asyncio.create_task(self._sink.catch_up())
        try:
            while not (await asyncio.wait({catching_up}, timeout=ACK_SECONDS))[0]:
                self.acknowledge()
        finally:
            catching_up.cancel()
        self._catching_up = None
        self.resume_reading()

    def acknowledge(self) -> None:
        """Send how far the audio was received and processed."""
        self._next_ack = self._sink.last_audio + ACK_SECONDS
        self.send(self._sink.ack())

    @abstractmethod
    def on_exhausted(self) -> None:
        """End the audio, because the operator allows no more."""

    @abstractmethod
    def on_control(self, control: FromClient) -> None:
        """Execute a control message."""

    def on_text(self, message: bytes) -> None:
        """Execute a control message."""
        if not self._is_ready:
            self._defer(self.on_text, message)
            return
        try:
            control = control_message.validate_json(message)
        except ValidationError as error:
            raise Refusal(
                ErrorCode.INVALID_MESSAGE,
                f"Not a control message: {explain(error, whole='message')}.",
            ) from None
        self.on_control(control)

    def stop_waiting(self) -> None:
        """Cancel what waits for the sink, or for audio."""
        for waiting in (self._catching_up, self._idle_timer):
            if waiting is not None:
                waiting.cancel()

    def check_idle(self) -> None:
        """End the connection when no audio came for too long; look again and again until then."""
        remaining = IDLE_SECONDS - self._sink.idle_seconds
        if remaining <= 0:
            message = f"No audio came for {IDLE_SECONDS:g} seconds."
            self.end(Refusal(ErrorCode.IDLE_TIMEOUT, message))
            return
        loop = asyncio.get_running_loop()
        self._idle_timer = loop.call_later(max(remaining, 0.05), self.check_idle)

    def on_published(self, frame: bytes, *, is_final: bool) -> None:
        """Send a partial or final of this stream to its speaker."""
        if is_final or self._interim_results:
            self.deliver(frame)
