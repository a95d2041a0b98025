from __future__ import annotations

import pytest

from ecs_service.conversations.hub import Hub
from ecs_service.limits.stream_slots import StreamSlots
from ecs_service.refusal import Refusal
from ecs_service.sessions.publisher import NullSink
from ecs_service.sessions.stream import Beginning, Stream, StreamRequest, Streams
from speech.engines.base import Engine, Policy, RecognitionOptions, Result, Session, SessionEvents
from speech.engines.errors import EngineError, SessionEnded
from speech.engines.transcribe.errors import AccessDenied, RequestRefused, Throttled
from speech.pcm import PcmFormat
from transcripts.protocol import ERRORS, ErrorCode

pytestmark = pytest.mark.unit

PRIVATE_CAUSE = "User: arn:aws:sts::123456789012:assumed-role/task is not authorized"


class SilentSession(Session):
    def write(self, pcm: bytes) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""

    async def close(self) -> None:
        """Hold nothing."""


class FakeEngine(Engine):
    """The test speaks through `events`, or sets how sessions fail to open."""

    name = "fake"
    policy = Policy(attempts=1)

    def __init__(self, error: EngineError | None = None) -> None:
        self.error = error
        self.events: SessionEvents

    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        del options
        if self.error is not None:
            raise self.error
        self.events = events
        return SilentSession()


class Owner:
    def __init__(self) -> None:
        self.shown: list[tuple[bool, bool]] = []

    def on_published(self, frame: bytes, *, is_final: bool) -> None:
        """Keep whether it is a final, and whether the frame marks it so."""
        self.shown.append((b'"type":"final"' in frame, is_final))

    def on_drain(self) -> None:
        """Never happens."""


def stream_of(engine: Engine, owner: Owner) -> Stream:
    streams = Streams(engine=engine, hub=Hub(), sink=NullSink(), slots=StreamSlots(1))
    request = StreamRequest(
        conversation_id="talk", speaker="Ada", language="en-US", audio=PcmFormat(16_000, 1)
    )

    async def prepare() -> Beginning:
        return Beginning(request=request)

    return Stream(streams, prepare, owner)


def result(text: str, *, is_final: bool) -> Result:
    return Result(segment=0, is_final=is_final, text=text, start=0.0, end=1.0)


async def test_a_frame_is_shown_as_what_it_is() -> None:
    """An empty final is no final for those who read: it retracts the partial."""
    engine, owner = FakeEngine(), Owner()
    async with stream_of(engine, owner):
        for one in (result("he", is_final=False), result("", is_final=True)):
            engine.events.recognised(one)
        engine.events.recognised(result("hello", is_final=True))

    assert owner.shown == [(False, False), (False, False), (True, True)]


def kinds(of: type[EngineError] = EngineError) -> list[type[EngineError]]:
    """Return every class of engine errors, those of all engines, which end a stream."""
    below = [kind for one in of.__subclasses__() for kind in kinds(one)]
    return below if of is SessionEnded else [of, *below]


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=str))
@pytest.mark.parametrize("ready", [False, True], ids=["at the handshake", "in the stream"])
async def test_a_client_may_retry_exactly_when_the_engine_calls_it_retryable(
    kind: type[EngineError], *, ready: bool
) -> None:
    engine = FakeEngine(None if ready else kind(PRIVATE_CAUSE))

    with pytest.raises(Refusal) as caught:
        async with stream_of(engine, Owner()) as stream:
            engine.events.failed(kind(PRIVATE_CAUSE))
            await stream.finished()

    assert caught.value.as_message().retryable == kind(PRIVATE_CAUSE).retryable
    assert ERRORS[caught.value.code].close_code == caught.value.close_code


@pytest.mark.parametrize("kind", [EngineError, AccessDenied, RequestRefused, Throttled])
async def test_clients_do_not_get_the_text_of_an_engines_error(kind: type[EngineError]) -> None:
    with pytest.raises(Refusal) as opening:
        async with stream_of(FakeEngine(kind(PRIVATE_CAUSE)), Owner()):
            pass

    engine = FakeEngine()
    async with stream_of(engine, Owner()) as stream:
        engine.events.failed(kind(PRIVATE_CAUSE))
        with pytest.raises(Refusal) as running:
            await stream.finished()

    for refusal in (opening.value, running.value):
        assert refusal.code in {ErrorCode.ENGINE_FAILED, ErrorCode.ENGINE_REFUSED}
        assert refusal.message == kind.public
