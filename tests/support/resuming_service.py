"""A fake of the service that resumes streams and gives viewers positions, for tests of the page."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.support.fake_service import (
    BYTES_PER_SECOND,
    SECONDS_PER_WORD,
    SENTENCE,
    FakeService,
    PlannedRefusal,
)
from transcripts.models import Utterance
from transcripts.protocol import (
    ERRORS,
    RESUME_SUBPROTOCOL,
    Ack,
    Closed,
    Continue,
    Heartbeat,
    Pause,
    Ready,
    Snapshot,
    Stop,
    control_message,
    encode,
    error,
)

WORDS = SENTENCE.split()
#: Bytes of audio whose sentence has become final.
BYTES_PER_SENTENCE = int(len(WORDS) * SECONDS_PER_WORD * BYTES_PER_SECOND)


@dataclass(slots=True)
class Stream:
    """A speaker's audio over all its connections."""

    token: str
    speaker: str
    audio: bytearray = field(default_factory=bytearray)
    finals: int = 0
    shown: int = 0
    #: The attempts of its connections.
    attempts: list[int] = field(default_factory=list)
    continues: list[Continue] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)

    @property
    def durable(self) -> int:
        """The samples whose words are final."""
        return self.finals * BYTES_PER_SENTENCE // 2


@dataclass(slots=True)
class ResumingService(FakeService):
    """The service; a test may change all public fields."""

    streams: list[Stream] = field(default_factory=list)
    #: Connections over which nothing is sent or read, though they stay open.
    dead: set[web.WebSocketResponse] = field(default_factory=set)
    #: The last `since` of a viewer.
    since: str | None = None

    def lose_task(self) -> None:
        """Lose what is not durable, and every connection, as when a task dies."""
        for stream in self.streams:
            del stream.audio[stream.durable * 2 :]
            stream.shown = 0
        self.cut()

    def kill_lines(self) -> None:
        """Let every connection die without closing it."""
        self.dead |= self._viewers | self._speakers

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """Serve a speaker."""
        socket = await self._accept(request)
        if self.refusals:
            await self._refuse(socket, self.refusals.pop(0))
            return socket
        stream = self._find(request)
        stream.attempts.append(int(request.query.get("attempt", 0)))
        self._speakers.add(socket)
        acks = asyncio.create_task(self._acknowledge(socket, stream))
        try:
            await self._serve(socket, request, stream)
        finally:
            acks.cancel()
            self._speakers.discard(socket)
        return socket

    def _find(self, request: web.Request) -> Stream:
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
        tokens = [one.removeprefix(RESUME_SUBPROTOCOL) for one in offered if "resume." in one]
        for stream in self.streams:
            if stream.token in tokens:
                return stream
        number = len(self.streams)
        stream = Stream(token=f"t{number}", speaker=request.query.get("speaker", "Speaker"))
        self.streams.append(stream)
        return stream

    async def _refuse(self, socket: web.WebSocketResponse, refusal: PlannedRefusal) -> None:
        message = error(refusal.code, "This is a test.", retry_after=refusal.retry_after)
        await socket.send_str(encode(message).decode())
        await socket.close(code=ERRORS[refusal.code].close_code)

    async def _acknowledge(self, socket: web.WebSocketResponse, stream: Stream) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(1)
                await self._send_ack(socket, stream)

    async def _send_ack(self, socket: web.WebSocketResponse, stream: Stream) -> None:
        if socket in self.dead:
            return
        seconds = len(stream.audio) / BYTES_PER_SECOND
        ack = Ack(received=seconds, processed=seconds, lag=0.0, durable=stream.durable)
        await socket.send_str(encode(ack).decode())

    async def _serve(
        self, socket: web.WebSocketResponse, request: web.Request, stream: Stream
    ) -> None:
        ready = Ready(
            conversation_id=request.query["conversationId"],
            stream_id=stream.token,
            engine=self.engine,
            language="en-US",
            sample_rate=16_000,
            channels=1,
            resume_token=stream.token,
            resume_from=len(stream.audio) // 2,
        )
        await socket.send_str(encode(ready).decode())
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                if socket not in self.dead:
                    stream.audio += message.data
                    await self._recognise_more(socket, stream)
                continue
            control = control_message.validate_json(message.data)
            if isinstance(control, Continue):
                stream.continues.append(control)
            elif isinstance(control, Pause):
                stream.pauses.append(control)
            elif isinstance(control, Stop):
                self.stops += 1
                await self._finish(socket, stream)
                return

    async def _recognise_more(self, socket: web.WebSocketResponse, stream: Stream) -> None:
        while True:
            seconds = (len(stream.audio) - stream.finals * BYTES_PER_SENTENCE) / BYTES_PER_SECOND
            due = min(int(seconds / SECONDS_PER_WORD), len(WORDS))
            if due <= stream.shown:
                return
            stream.shown = due
            utterance = f"{stream.token}-{stream.finals}"
            if due < len(WORDS):
                text = " ".join(WORDS[:due])
                partial = self.partial(text, utterance, speaker=stream.speaker)
                await self.broadcast(partial, also=socket)
                return
            final = self.final(SENTENCE, speaker=stream.speaker, utterance=utterance)
            stream.finals, stream.shown = stream.finals + 1, 0
            await self.broadcast(final, also=socket)

    async def _finish(self, socket: web.WebSocketResponse, stream: Stream) -> None:
        if stream.shown:
            utterance = f"{stream.token}-{stream.finals}"
            text = " ".join(WORDS[: stream.shown])
            final = self.final(text, speaker=stream.speaker, utterance=utterance)
            await self.broadcast(final, also=socket)
        await self._send_ack(socket, stream)
        duration = len(stream.audio) / BYTES_PER_SECOND
        closed = Closed(reason="stopped", duration=duration, finals=stream.finals)
        await socket.send_str(encode(closed).decode())
        await socket.close()

    # --- viewers --------------------------------------------------------------------------

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve a viewer; a position is how many finals there were."""
        socket = await self._accept(request)
        self.views += 1
        self.since = request.query.get("since")
        await self._send_missing(socket, int(self.since or 0))
        self._viewers.add(socket)
        beats = asyncio.create_task(self._beat(socket))
        try:
            async for _ in socket:
                pass
        finally:
            beats.cancel()
            self._viewers.discard(socket)
        return socket

    async def _send_missing(self, socket: web.WebSocketResponse, since: int) -> None:
        names = set(Utterance.model_fields)
        snapshot = Snapshot(
            conversation_id="test",
            utterances=tuple(
                Utterance.model_validate(final.model_dump(include=names))
                for final in self.finals[since:]
            ),
            complete=True,
            seq=self._seq,
            position=str(len(self.finals)),
        )
        await socket.send_str(encode(snapshot).decode())

    async def _beat(self, socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(1)
                if socket in self.dead:
                    continue
                beat = Heartbeat(
                    conversation_id="test", seq=self._seq, position=str(len(self.finals))
                )
                await socket.send_str(encode(beat).decode())
