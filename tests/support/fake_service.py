"""A fake of the service, without an engine, for tests of the page; the test chooses its faults.

It serves the built page with the strictest content security policy that a deployment would use, and
speaks the live protocol with the real message models. A stream of audio becomes the words of a
fixed sentence, one for every `SECONDS_PER_WORD`, so that no recogniser decides about a test.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import WSMsgType, web

from transcripts.models import Model, Utterance
from transcripts.protocol import (
    ERRORS,
    Ack,
    Closed,
    ErrorCode,
    Final,
    Partial,
    Ready,
    Snapshot,
    Stop,
    control_message,
    encode,
    error,
)

DIST = Path(__file__).parents[2] / "frontend" / "dist"
SENTENCE = "the quick brown fox jumps over the lazy dog"
SECONDS_PER_WORD = 0.2
BYTES_PER_SECOND = 32_000

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; worker-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)


@dataclass(slots=True)
class PlannedRefusal:
    """The error that the next speaker gets instead of `ready`."""

    code: ErrorCode
    retry_after: float | None = None


@dataclass(slots=True)
class FakeService:
    """The service and what it has received; a test may change all public fields."""

    url: str = ""
    engine: str = "pocketsphinx"
    #: Seconds of lag in every `ack`.
    lag: float = 0.0
    refusals: list[PlannedRefusal] = field(default_factory=list)
    #: While false, new sockets are aborted before the handshake, as without a network.
    reachable: bool = True
    #: While false, snapshots are empty and not `complete`, as when the table does not answer.
    complete: bool = True
    finals: list[Final] = field(default_factory=list)
    #: The response of `/api/stt/languages`.
    languages: dict[str, object] = field(
        default_factory=lambda: {
            "note": "Words from a script",
            "recognition": ["en-US"],
            "translation": [],
            "translator": None,
        }
    )
    #: The audio of each stream, s16le, in the order of their start.
    audio: list[bytearray] = field(default_factory=list)
    #: The requested language of each stream.
    spoken: list[str | None] = field(default_factory=list)
    stops: int = 0
    views: int = 0
    _viewers: set[web.WebSocketResponse] = field(default_factory=set)
    _speakers: set[web.WebSocketResponse] = field(default_factory=set)
    _seq: int = 0
    _utterances: int = 0

    async def serve_languages(self, _request: web.Request) -> web.Response:
        """Serve the languages that the page offers."""
        return web.json_response(self.languages)

    async def publish_final(
        self, text: str, *, speaker: str = "Ada", utterance: str | None = None
    ) -> None:
        """Broadcast a final, as if another client had spoken."""
        await self.broadcast(self.final(text, speaker=speaker, utterance=utterance))

    def final(self, text: str, *, speaker: str = "Ada", utterance: str | None = None) -> Final:
        """Return a final with the current time."""
        return Final(
            **self._fields(text, speaker, utterance or self._next_utterance()),
            timestamp=datetime.now(UTC),
        )

    def partial(self, text: str, utterance: str, *, speaker: str = "Ada") -> Partial:
        """Return a partial of an utterance."""
        return Partial(**self._fields(text, speaker, utterance))

    async def broadcast(self, message: Model, *, also: web.WebSocketResponse | None = None) -> None:
        """Send a message to every viewer, and to `also`."""
        if isinstance(message, Final):
            self.finals.append(message)
        for socket in [*self._viewers, *([also] if also else [])]:
            with contextlib.suppress(ConnectionError):
                await socket.send_str(encode(message).decode())

    def cut(self) -> None:
        """Abort every connection without a close frame."""
        for socket in [*self._viewers, *self._speakers]:
            transport = socket._req.transport if socket._req is not None else None
            if transport is not None:
                transport.abort()

    async def refuse_viewers(self, code: ErrorCode) -> None:
        """Close every viewer's connection with an error."""
        for socket in list(self._viewers):
            await _refuse(socket, PlannedRefusal(code))

    # --- endpoints ------------------------------------------------------------------------

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve a viewer."""
        socket = await self._accept(request)
        if request.query.get("mode") == "snapshot":
            with contextlib.suppress(ConnectionError):
                while not socket.closed:
                    await self._send_snapshot(socket)
                    with contextlib.suppress(TimeoutError):
                        await socket.receive(timeout=0.1)
            return socket
        self.views += 1
        await self._send_snapshot(socket)
        self._viewers.add(socket)
        try:
            async for _ in socket:
                pass
        finally:
            self._viewers.discard(socket)
        return socket

    async def _send_snapshot(self, socket: web.WebSocketResponse) -> None:
        names = Utterance.model_fields
        snapshot = Snapshot(
            conversation_id="test",
            utterances=tuple(
                Utterance.model_validate(final.model_dump(include=set(names)))
                for final in self.finals
                if self.complete
            ),
            complete=self.complete,
            seq=self._seq,
        )
        await socket.send_str(encode(snapshot).decode())

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """Serve a speaker."""
        socket = await self._accept(request)
        if self.refusals:
            await _refuse(socket, self.refusals.pop(0))
            return socket
        self._speakers.add(socket)
        try:
            await self._recognise(socket, request.query)
        finally:
            self._speakers.discard(socket)
        return socket

    async def _recognise(self, socket: web.WebSocketResponse, query: Mapping[str, str]) -> None:
        conversation = query["conversationId"]
        speaker = query.get("speaker", "Speaker")
        ready = Ready(
            conversation_id=conversation,
            stream_id=f"stream-{len(self.audio)}",
            engine=self.engine,
            language="en-US",
            sample_rate=int(query["sampleRate"]),
            channels=1,
        )
        await socket.send_str(encode(ready).decode())
        audio = bytearray()
        self.audio.append(audio)
        self.spoken.append(query.get("language"))
        words = SENTENCE.split()
        utterance, shown, finals, acked = self._next_utterance(), 0, 0, 0.0
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                assert isinstance(control_message.validate_json(message.data), Stop)
                self.stops += 1
                break
            audio += message.data
            seconds = len(audio) / BYTES_PER_SECOND
            due = int(seconds / SECONDS_PER_WORD) - finals * len(words)
            if shown < due <= len(words):
                shown = due
                text = " ".join(words[:shown])
                await self.broadcast(self.partial(text, utterance, speaker=speaker), also=socket)
            if shown == len(words):
                final = self.final(SENTENCE, speaker=speaker, utterance=utterance)
                await self.broadcast(final, also=socket)
                utterance, shown, finals = self._next_utterance(), 0, finals + 1
            if seconds - acked >= 1:
                acked = seconds
                ack = Ack(received=seconds, processed=max(0.0, seconds - self.lag), lag=self.lag)
                await socket.send_str(encode(ack).decode())
        else:
            return
        if shown:
            text = " ".join(words[:shown])
            await self.broadcast(
                self.final(text, speaker=speaker, utterance=utterance), also=socket
            )
        duration = len(audio) / BYTES_PER_SECOND
        closed = Closed(reason="stopped", duration=duration, finals=finals + bool(shown))
        await socket.send_str(encode(closed).decode())
        await socket.close()

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        if not self.reachable:
            if request.transport is not None:
                request.transport.abort()
            raise web.HTTPServiceUnavailable
        # Browsers that offer protocols need one of them in return.
        socket = web.WebSocketResponse(protocols=("cloudscribe.v1",))
        await socket.prepare(request)
        return socket

    def _next_utterance(self) -> str:
        self._utterances += 1
        return f"utterance-{self._utterances}"

    def _fields(self, text: str, speaker: str, utterance: str) -> dict[str, object]:
        self._seq += 1
        return {
            "conversation_id": "test",
            "utterance_id": utterance,
            "speaker": speaker,
            "language": "en-US",
            "start_time": 0.0,
            "end_time": 1.0,
            "text": text,
            "seq": self._seq,
        }


async def _refuse(socket: web.WebSocketResponse, refusal: PlannedRefusal) -> None:
    message = error(refusal.code, "This is a test.", retry_after=refusal.retry_after)
    await socket.send_str(encode(message).decode())
    await socket.close(code=ERRORS[refusal.code].close_code)


async def serve_page(request: web.Request) -> web.StreamResponse:
    """Serve a file of the built page."""
    name = request.match_info["name"] or "index.html"
    return web.FileResponse(DIST / name, headers={"Content-Security-Policy": POLICY})


async def _serve_access(_request: web.Request) -> web.Response:
    return web.json_response({"kind": "open"})


@contextlib.asynccontextmanager
async def fake_service(service: FakeService | None = None) -> AsyncIterator[FakeService]:
    """Run a fake service on a free port; `frontend/dist` must be built."""
    service = service or FakeService()
    app = web.Application()
    app.router.add_get("/api/stt/connect", service.connect)
    app.router.add_get("/api/stt/transcribe", service.transcribe)
    app.router.add_get("/api/stt/languages", service.serve_languages)
    app.router.add_get("/access.json", _serve_access)
    app.router.add_get("/{name:.*}", serve_page)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        service.cut()
        await runner.cleanup()
