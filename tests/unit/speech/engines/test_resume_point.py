"""A recognition that goes on with a stream which another one began, at any place."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.engines.base import (
    Engine,
    Policy,
    RecognitionOptions,
    Result,
    ResumePoint,
    Session,
    SessionEvents,
)
from speech.engines.errors import EngineCrashed
from speech.engines.replay_buffer import ReplayBuffer
from speech.engines.scripted import ScriptedEngine, ScriptedModel
from speech.pcm import SAMPLE_RATE

pytestmark = pytest.mark.unit

SECOND = bytes(2 * SAMPLE_RATE)


class RecordingSession(Session):
    def __init__(self, options: RecognitionOptions, events: SessionEvents) -> None:
        self.options = options
        self.events = events
        self.written = b""

    def write(self, pcm: bytes) -> None:
        self.written += pcm

    def end(self) -> None:
        """Nothing is reported."""

    async def close(self) -> None:
        """Nothing is held."""


class RecordingEngine(Engine):
    name = "recording"
    policy = Policy(first_delay=0.001)
    lead_in = 4.0

    def __init__(self) -> None:
        self.sessions: list[RecordingSession] = []
        self.replaced = asyncio.Event()

    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        self.sessions.append(RecordingSession(options, events))
        if len(self.sessions) > 1:
            self.replaced.set()
        return self.sessions[-1]


def frames(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


async def test_it_begins_with_a_lead_in_and_is_silent_where_finals_are_already() -> None:
    engine = RecordingEngine()
    point = ResumePoint(frames(6), frames(8), heard=(frames(9),), segment=1_000_000)
    results: list[Result] = []

    async with engine.recognise(RecognitionOptions(), results.append, point) as recognition:
        for _ in range(5):
            recognition.write(b"\x01\x02" * SAMPLE_RATE)
        session = engine.sessions[0]
        said = Result(segment=0, is_final=True, text="on", start=3.5, end=4.0)
        session.events.recognised(said)
        session.events.progressed(5.0, 4.0)

        assert (session.options.begin, session.options.lead_in) == (6.0, 2.0)
        samples = np.frombuffer(session.written, dtype="<i2").reshape(-1, SAMPLE_RATE)
        assert [bool(second.any()) for second in samples] == [True, True, False, True, True]
        assert [(one.segment, one.start, one.end) for one in results] == [(1_000_000, 9.5, 10.0)]
        assert recognition.checkpoint.settled == frames(10)
        assert recognition.checkpoint.heard == (frames(10),)
        assert (recognition.written, recognition.lag) == (11.0, 0.0)


async def test_a_session_that_dies_within_the_lead_in_is_replaced_by_one_with_all_of_it() -> None:
    engine = RecordingEngine()
    point = ResumePoint(frames(6), frames(8), heard=(frames(8),))

    async with engine.recognise(RecognitionOptions(), lambda _: None, point) as recognition:
        recognition.write(SECOND)
        engine.sessions[0].events.failed(EngineCrashed("gone"))
        async with asyncio.timeout(2):
            await engine.replaced.wait()
        recognition.write(SECOND * 2)

        second = engine.sessions[1]
        assert (second.options.begin, second.options.lead_in) == (6.0, 2.0)
        assert len(second.written) == len(SECOND) * 3


@settings(max_examples=30)
@given(cut=st.integers(0, 200), piece=st.integers(1, 90), again=st.integers(0, 3))
async def test_scripted_words_are_the_same_wherever_the_stream_is_taken_up(
    cut: int, piece: int, again: int
) -> None:
    model = ScriptedModel(word_seconds=0.1, words_per_segment=4)
    whole = await _recognise(ScriptedEngine(model), 0, 200 * 160, piece * 160)
    finals: list[Result] = []
    settled = 0
    async with ScriptedEngine(model).recognise(RecognitionOptions(), finals.append) as first:
        first.write(bytes(2 * cut * 160))
        settled = first.checkpoint.settled
    said = [one for one in finals if one.is_final]

    rest = await _recognise(ScriptedEngine(model), settled, 200 * 160, (piece + again) * 160)

    assert _words(said + rest) == _words(whole)


def _words(results: list[Result]) -> list[tuple[str, int]]:
    """Return the words with the frames at which they start."""
    return [(word.word, frames(word.start_time)) for one in results for word in one.words]


async def _recognise(engine: Engine, start: int, end: int, piece: int) -> list[Result]:
    results: list[Result] = []
    point = ResumePoint(start, start, heard=(start,))
    async with engine.recognise(RecognitionOptions(), results.append, point) as recognition:
        for at in range(start, end, piece):
            recognition.write(bytes(2 * (min(end, at + piece) - at)))
        recognition.end()
        await recognition.finished()
    return [one for one in results if one.is_final]


@given(
    first=st.integers(0, 20),
    lead_in=st.integers(0, 10),
    heard=st.integers(0, 30),
    pieces=st.lists(st.integers(1, 9), max_size=8),
)
def test_a_buffer_passes_on_what_it_would_replay(
    first: int, lead_in: int, heard: int, pieces: list[int]
) -> None:
    start = first + lead_in
    buffer = ReplayBuffer(
        channels=1,
        bytes_per_sample=2,
        max_lead_in=10,
        start=start,
        first=first,
        settled=(start + heard,),
    )
    audio = np.arange(1, sum(pieces) + 1, dtype="<i2")
    at, passed = 0, b""
    for piece in pieces:
        passed += buffer.append(audio[at : at + piece].tobytes())
        at += piece

    assert b"".join(buffer.replay()) == passed
    assert buffer.lead_in + buffer.missing == lead_in
