"""The router against a real HTTP server that misbehaves in every way that servers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from lambdas.router.decide import (
    Answer,
    Enqueue,
    NoAnswer,
    Reason,
    Rejected,
    ServerHealth,
    Skip,
    Transcribed,
    TranscriptionPace,
    TryLater,
)
from lambdas.router.request import TranscriptionRequest, parse_request
from lambdas.router.route import InvocationClock, RecordingRouter, RouteResult
from lambdas.router.server import GpuServerClient
from tests.support.events import BUCKET, created
from transcripts.recordings.keys import TranscriptionJob
from transcripts.recordings.status import RecordingState

pytestmark = pytest.mark.integration

TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - nobody's
KEY = "users/ann bé/audio/sessions/50% + 1?/chunk-001.webm"
FINE = {"status": "ok", "ready": True, "queue": {"waiting": 0, "running": 1, "limit": 8}}

Behaviour = Callable[["Stub", web.Request], Awaitable[web.StreamResponse]]


def answers(status: int, **headers: str) -> Behaviour:
    async def behave(_stub: Stub, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"code": "whatever"}, status=status, headers=headers)

    return behave


async def resets(_stub: Stub, request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def answers_nothing(stub: Stub, _request: web.Request) -> web.StreamResponse:
    await stub.over.wait()
    return web.Response()


async def never_ends(stub: Stub, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await stub.over.wait()
    return response


async def transcribes_and_resets(stub: Stub, request: web.Request) -> web.StreamResponse:
    stub.state_now = RecordingState.TRANSCRIBED
    return await resets(stub, request)


async def finds_no_audio(stub: Stub, request: web.Request) -> web.StreamResponse:
    stub.state_now = RecordingState.FAILED
    return await answers(422)(stub, request)


@dataclass
class Stub:
    """A server that does one thing after the other; also the bucket that it writes to."""

    script: list[Behaviour] = field(default_factory=list)
    health: Any = field(default_factory=lambda: FINE)
    health_status: int = 200
    requests: list[tuple[dict[str, Any], str | None]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    queued: list[TranscriptionJob] = field(default_factory=list)
    state_now: RecordingState = RecordingState.WAITING
    over: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def on_health(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(id(request.transport))
        if callable(self.health):
            answer: web.StreamResponse = await self.health(self, request)
            return answer
        return web.json_response(self.health, status=self.health_status)

    async def on_transcribe(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((await request.json(), request.headers.get("Authorization")))
        return await self.script.pop(0)(self, request)

    def state(self, _request: TranscriptionRequest) -> RecordingState:
        return self.state_now

    def size(self, _request: TranscriptionRequest) -> int | None:
        return None

    @property
    def server(self) -> GpuServerClient:
        return GpuServerClient(self.url, TOKEN)

    async def transcribe(self, seconds: float = 5.0) -> Answer:
        return await asyncio.to_thread(self.server.transcribe, BUCKET, KEY, seconds=seconds)

    async def route(self, *script: Behaviour) -> RouteResult:
        """Route a recording; pauses are not waited for."""
        self.script = list(script)
        router = RecordingRouter(
            recordings=self, server=self.server, queue=self.queued.append, pace=TranscriptionPace()
        )
        clock = InvocationClock(left=lambda: 299.0, sleep=lambda _seconds: None, jitter=lambda: 0.5)
        asked = parse_request(created(KEY), BUCKET)
        assert asked is not None
        return await asyncio.to_thread(router.route, asked, clock)


@asynccontextmanager
async def serving() -> AsyncIterator[Stub]:
    stub = Stub()
    app = web.Application()
    app.router.add_get("/health", stub.on_health)
    app.router.add_post("/transcribe-s3", stub.on_transcribe)
    async with TestServer(app, host="127.0.0.1") as server:
        stub.url = str(server.make_url("/"))
        try:
            yield stub
        finally:
            stub.over.set()


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with serving() as made:
        yield made


# --- how it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("health", "status", "server"),
    [
        (FINE, 200, ServerHealth.READY),
        (FINE | {"queue": {"waiting": 8, "running": 1, "limit": 8}}, 200, ServerHealth.FULL),
        (FINE | {"queue": {"waiting": 0, "running": 1, "limit": 0}}, 200, ServerHealth.FULL),
        (FINE | {"queue": {"waiting": 0, "running": 0, "limit": 0}}, 200, ServerHealth.READY),
        (FINE | {"ready": False}, 200, ServerHealth.NOT_READY),
        (FINE, 503, ServerHealth.NOT_READY),
        ({"status": "ok"}, 200, ServerHealth.NOT_READY),
        ("Yes, I'm ok", 200, ServerHealth.NOT_READY),
        (answers_nothing, 200, ServerHealth.DOWN),
        (resets, 200, ServerHealth.DOWN),
    ],
)
async def test_the_health_of_the_server_is_believed_and_silence_is_not_awaited(
    stub: Stub, health: Any, status: int, server: ServerHealth
) -> None:
    stub.health, stub.health_status = health, status

    assert await asyncio.to_thread(stub.server.health) == server


async def test_a_server_that_is_not_there_is_down() -> None:
    nobody = GpuServerClient(f"http://127.0.0.1:{unused_port()}", None)
    unknown = GpuServerClient("http://transcriber.invalid:8000", None)

    assert await asyncio.to_thread(nobody.health) == ServerHealth.DOWN
    assert await asyncio.to_thread(unknown.health) == ServerHealth.DOWN
    assert await asyncio.to_thread(nobody.transcribe, BUCKET, KEY, seconds=5.0) == TryLater()


async def test_a_connection_is_kept_and_replaced_when_it_was_closed_meanwhile(stub: Stub) -> None:
    server = stub.server

    for _ in range(3):
        assert await asyncio.to_thread(server.health) == ServerHealth.READY
    assert len(stub.connections) == 1

    broken = iter([resets])

    async def once(_stub: Stub, request: web.Request) -> web.StreamResponse:
        return await next(broken, answers_fine)(stub, request)

    async def answers_fine(_stub: Stub, _request: web.Request) -> web.StreamResponse:
        return web.json_response(FINE)

    stub.health = once
    assert await asyncio.to_thread(server.health) == ServerHealth.READY


async def test_a_connection_that_the_network_has_forgotten_is_replaced(stub: Stub) -> None:
    server = stub.server
    assert await asyncio.to_thread(server.health) == ServerHealth.READY
    (forgotten,) = stub.connections

    async def silent_on_the_old_one(_stub: Stub, request: web.Request) -> web.StreamResponse:
        if id(request.transport) == forgotten:
            await stub.over.wait()
        return web.json_response(FINE)

    stub.health = silent_on_the_old_one
    assert await asyncio.to_thread(server.health) == ServerHealth.READY


# --- what it answers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "answer"),
    [
        (answers(200), Transcribed()),
        (never_ends, Transcribed()),
        (answers(500), NoAnswer()),
        (answers(503), TryLater()),
        (answers(503, **{"Retry-After": "3"}), TryLater(retry_after=3.0)),
        (answers(422), Rejected()),
        (answers(401), Rejected()),
        (answers(307, Location="http://127.0.0.1:1/"), Rejected()),
        (resets, NoAnswer()),
        (answers_nothing, NoAnswer()),
    ],
)
async def test_every_answer_and_every_silence_has_a_meaning(
    stub: Stub, behaviour: Behaviour, answer: Answer
) -> None:
    stub.script = [behaviour]

    assert await stub.transcribe(seconds=0.5) == answer
    assert len(stub.requests) == 1


async def test_the_request_names_the_recording_and_its_caller(stub: Stub) -> None:
    stub.script = [answers(200)]

    await stub.transcribe()

    assert stub.requests == [
        ({"s3_input_path": f"s3://{BUCKET}/{KEY}", "return_text": False}, f"Bearer {TOKEN}")
    ]


# --- what becomes of the recording ----------------------------------------------------------------


async def test_errors_that_pass_are_tried_again_until_it_is_transcribed(stub: Stub) -> None:
    report = await stub.route(
        answers(500), resets, answers(503, **{"Retry-After": "1"}), answers(200)
    )

    assert (report.end, report.attempts) == (Transcribed(), 4)
    assert stub.queued == []


async def test_errors_that_do_not_pass_end_in_the_queue(stub: Stub) -> None:
    report = await stub.route(answers(500), answers(503), resets, answers(500))

    assert (report.end, report.attempts) == (Enqueue(Reason.SERVER_FAILS), 4)
    assert len(stub.queued) == 1


async def test_an_answer_that_was_lost_is_not_asked_for_again(stub: Stub) -> None:
    report = await stub.route(transcribes_and_resets)

    assert (report.end, report.attempts) == (Skip(RecordingState.TRANSCRIBED), 1)
    assert stub.queued == []


async def test_a_failure_on_record_is_neither_tried_again_nor_queued(stub: Stub) -> None:
    report = await stub.route(finds_no_audio)

    assert (report.end, report.attempts) == (Skip(RecordingState.FAILED), 1)
    assert stub.queued == []


async def test_a_wrong_secret_costs_no_recording(stub: Stub) -> None:
    report = await stub.route(answers(401))

    assert (report.end, report.attempts) == (Enqueue(Reason.SERVER_REFUSES), 1)
    assert len(stub.queued) == 1


async def test_an_overloaded_server_is_left_alone(stub: Stub) -> None:
    report = await stub.route(answers(503, **{"Retry-After": "60"}))

    assert (report.end, report.attempts) == (Enqueue(Reason.SERVER_FULL), 1)
    assert len(stub.queued) == 1
