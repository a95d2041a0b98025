"""Speakers who resume: here, on another task, after crashes, without a ledger for a while."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.secret import Secret, parse_secret
from ecs_service.conversations.hub import Hub
from ecs_service.limits.stream_slots import StreamSlots
from ecs_service.refusal import Refusal
from ecs_service.sessions.ledger import Ledger
from ecs_service.sessions.publisher import NullSink
from ecs_service.sessions.resumable import (
    ResumableStream,
    ResumableStreams,
    ResumeRequest,
    StreamOver,
)
from ecs_service.sessions.stream import StreamRequest, Streams
from ecs_service.sessions.sweep import Sweep
from speech.engines.scripted import ScriptedEngine, ScriptedModel
from speech.pcm import SAMPLE_RATE, PcmFormat
from tests.support.ledger import Inline, MemoryLedger, MemoryOutbox, MemoryTable
from tests.support.virtual_time import run_in_virtual_time
from transcripts.models import Utterance
from transcripts.protocol import RESUME_SECONDS, ErrorCode
from transcripts.streams.entry import StreamState

pytestmark = pytest.mark.unit

WORD = SAMPLE_RATE // 10
MODEL = ScriptedModel(word_seconds=0.1, words_per_segment=4)
SCRIPT = MODEL.list_words()
LANGUAGE = "en-US"


class Clock:
    """Wall-clock time that follows the loop's."""

    def __call__(self) -> datetime:
        return datetime(2026, 12, 1, tzinfo=UTC) + timedelta(
            seconds=asyncio.get_running_loop().time()
        )


@dataclass
class World:
    """What outlives every task: the ledger, and the table behind the queue."""

    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    table: MemoryTable = field(default_factory=MemoryTable)

    def task(self, slots: int = 10) -> Task:
        return Task(self, slots)

    def words(self) -> list[tuple[int, str]]:
        """Return the words of the table with the frames at which they start, in order of time."""
        return sorted(
            (round(word.start_time * SAMPLE_RATE), word.word)
            for utterance in self.table.stored.values()
            for word in utterance.words
        )


class QueueToTable(MemoryOutbox):
    """An outbox whose queue is emptied into the table at once, unless it is away."""

    def __init__(self, table: MemoryTable) -> None:
        super().__init__()
        self._table = table
        self._sent = 0

    def accept_all(self) -> None:
        for utterance in self.finals[self._sent :]:
            self._table.put(utterance)
        self._sent = len(self.finals)
        super().accept_all()


class Viewer:
    """Sees everything that a task publishes in the conversation."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.finals: list[str] = []

    def deliver(self, frame: bytes) -> None:
        message = json.loads(frame)
        self.shown[message["utteranceId"]] = message["text"]
        if message["type"] == "final":
            self.finals.append(message["text"])


class Task:
    """One task of the service with its memory, which dies with it."""

    def __init__(self, world: World, slots: int) -> None:
        self.hub = Hub()
        self.viewer = Viewer()
        self._watching = self.hub.add_subscriber("talk", self.viewer)
        self._watching.__enter__()
        self.outbox = QueueToTable(world.table)
        engine = ScriptedEngine(MODEL)
        self.slots = StreamSlots(slots)
        self.streams = Streams(engine=engine, hub=self.hub, sink=NullSink(), slots=self.slots)
        ledger = Ledger(world.ledger, world.table, now=Clock(), threads=Inline())
        self.resumable = ResumableStreams(self.streams, ledger, self.outbox)
        self.sweep = Sweep(ledger, self.hub, self.outbox)

    async def kill(self) -> None:
        """End without finishing anything."""
        self.outbox.add = lambda *_: None  # type: ignore[method-assign]
        await self.resumable.close()


class Socket:
    """A connection of a client, as far as the stream sees it."""

    def __init__(self) -> None:
        self.why: Refusal | Literal["finished"] | None = None
        self.ended = asyncio.Event()

    def on_published(self, frame: bytes, *, is_final: bool) -> None:
        del frame, is_final

    def on_ended(self, why: Refusal | Literal["finished"]) -> None:
        if self.why is None:
            self.why = why
        self.ended.set()


class Client:
    """A speaker that keeps its audio until it is durable."""

    def __init__(self, samples: int, audio: PcmFormat | None = None) -> None:
        self.audio = audio or PcmFormat(SAMPLE_RATE, 1)
        self.samples = samples
        self.at = 0
        self.durable = 0
        self.attempt = 0
        self.token: Secret | None = None
        self.socket = Socket()
        self.stream: ResumableStream

    async def connect(self, task: Task) -> None:
        """Begin, or resume, and continue where the service wants."""
        self.socket = Socket()
        if self.token is None:
            request = StreamRequest(
                conversation_id="talk", speaker="Ada", language=LANGUAGE, audio=self.audio
            )
            self.stream = await task.resumable.open(request, self.socket, allowed)
            self.token = parse_secret("csr", str(self.stream.token))
        else:
            self.attempt += 1
            request_again = ResumeRequest(self.token, "talk", self.attempt)
            self.stream = await task.resumable.resume(request_again, self.socket, still_allowed)
        self.at = self.stream.stream.next_sample
        assert self.at >= self.durable, "the service wants audio that it called durable"
        self.stream.begin_at(self.at, age=0.0)

    def send(self, samples: int) -> None:
        while samples > 0 and self.at < self.samples:
            piece = min(samples, self.samples - self.at, SAMPLE_RATE // 2)
            self.stream.accept(bytes(piece * self.audio.bytes_per_frame))
            self.at += piece
            samples -= piece

    def read_ack(self) -> None:
        durable = self.stream.ack().durable
        assert durable is not None
        self.durable = max(self.durable, durable)

    def cut(self) -> None:
        self.stream.detach(self.socket)

    async def finish(self) -> None:
        self.send(self.samples)
        self.stream.finish("stopped")
        await self.socket.ended.wait()


async def allowed() -> str:
    return "right"


async def still_allowed(right: str) -> None:
    assert right == "right"


def spoken(samples: int) -> list[tuple[int, str]]:
    """Return the words that are in so many samples at 16 kHz."""
    return [(number * WORD, SCRIPT[number % len(SCRIPT)]) for number in range(samples // WORD)]


async def settle() -> None:
    """Let everything happen that needs no time."""
    await asyncio.sleep(0.001)


def test_a_speaker_who_is_cut_off_goes_on_with_the_same_recognition() -> None:
    async def speak() -> tuple[World, Task, Client]:
        world = World()
        task = world.task()
        client = Client(100 * WORD)
        await client.connect(task)
        client.send(37 * WORD + 11)
        client.cut()
        await asyncio.sleep(9.0)
        await client.connect(task)
        assert client.at == 37 * WORD + 11, "nothing is sent twice"
        await client.finish()
        await settle()
        return world, task, client

    world, task, client = run_in_virtual_time(speak())

    assert client.socket.why == "finished"
    assert world.words() == spoken(100 * WORD)
    assert task.slots.taken == 0
    (entry,) = world.ledger.entries.values()
    assert (entry.state, entry.epoch, entry.progress.unsent) == (StreamState.ENDED, 0, ())
    assert world.ledger.due_at[entry.terms.stream_id] is None


def test_a_speaker_whose_task_dies_goes_on_with_another_and_nothing_is_said_twice() -> None:
    async def speak() -> tuple[World, Task]:
        world = World()
        first = world.task()
        client = Client(100 * WORD)
        await client.connect(first)
        first.outbox.accepts = False  # what is only on its disk dies with it
        client.send(51 * WORD)
        await settle()
        await first.kill()
        second = world.task()
        await client.connect(second)
        await client.finish()
        await settle()
        return world, second

    world, second = run_in_virtual_time(speak())

    assert world.words() == spoken(100 * WORD)
    numbers = sorted(one.number or 0 for one in world.table.stored.values())
    assert numbers == list(range(1, 26))
    assert len(second.viewer.finals) == 25, "what the dead task had is shown by the next one"


class Storm:
    """One speaker, two tasks, and whatever may happen to them."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - no secret
        self.world = World()
        self.tasks = [self.world.task(), self.world.task()]
        audio = PcmFormat(
            self.draw.choice([8_000, 16_000, 44_100, 48_000]), self.draw.choice([1, 2])
        )
        self.seconds = self.draw.randint(5, 30)
        self.client = Client(self.seconds * audio.sample_rate, audio)

    async def send(self) -> None:
        self.client.send(self.draw.randint(1, self.client.audio.sample_rate * 2))
        await asyncio.sleep(self.draw.choice([0.0, 0.01, 1.0]))
        self.client.read_ack()

    async def cut(self) -> None:
        """The line breaks; the task notices it, or it does not."""
        if self.draw.random() < 0.5:
            self.client.cut()
        await asyncio.sleep(self.draw.choice([0.0, 1.0, 11.0]))
        await self.connect()

    async def kill(self) -> None:
        at = self.draw.randrange(2)
        await self.tasks[at].kill()
        self.tasks[at] = self.world.task()
        await self.connect()

    async def take_the_ledger_away(self) -> None:
        self.world.ledger.is_away = True
        self.client.send(self.client.audio.sample_rate)
        await asyncio.sleep(self.draw.choice([0.1, 3.0]))
        self.world.ledger.is_away = False

    async def lose_an_answer(self) -> None:
        self.world.ledger.lost_answers = 1

    async def stop_or_start_the_queues(self) -> None:
        for task in self.tasks:
            task.outbox.accepts = not task.outbox.accepts

    async def sweep(self) -> None:
        await asyncio.sleep(self.draw.choice([0.5, 12.0, 95.0]))
        for task in self.tasks:
            await task.sweep.look_at(0)

    async def connect(self) -> None:
        """Resume, once more if the stream has moved meanwhile."""
        for _ in range(5):
            try:
                await self.client.connect(self.draw.choice(self.tasks))
            except Refusal as refusal:
                if refusal.code not in {ErrorCode.MOVED, ErrorCode.LEDGER_UNAVAILABLE}:
                    raise
                await asyncio.sleep(0.5)
            else:
                return
        raise AssertionError("the client never got on")

    async def rage(self) -> None:
        await self.client.connect(self.tasks[0])
        events = [
            *[self.send] * 5,
            *[self.cut] * 2,
            self.kill,
            self.take_the_ledger_away,
            self.lose_an_answer,
            self.stop_or_start_the_queues,
            self.sweep,
        ]
        for _ in range(self.draw.randint(1, 25)):
            await self.draw.choice(events)()
            if self.client.socket.ended.is_set():
                await self.connect()

    async def calm_down(self) -> None:
        """Speak to the end, and let the sweep tidy up."""
        self.world.ledger.lost_answers = 0
        for task in self.tasks:
            task.outbox.accepts = True
            task.outbox.accept_all()
        while not self.client.socket.ended.is_set():
            await self.client.finish()
            if self.client.socket.why != "finished":
                await self.connect()
        await asyncio.sleep(RESUME_SECONDS + 100)
        for _ in range(3):
            await self.sweep()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_whatever_happens_every_word_is_stored_once_and_at_its_place(seed: int) -> None:
    async def speak() -> Storm:
        storm = Storm(seed)
        await storm.rage()
        await storm.calm_down()
        taken = [task.slots.taken for task in storm.tasks]
        for task in storm.tasks:
            await task.resumable.close()
        assert taken == [0, 0]
        return storm

    storm = run_in_virtual_time(speak())

    assert storm.world.words() == spoken(storm.seconds * SAMPLE_RATE)
    numbers = sorted(one.number or 0 for one in storm.world.table.stored.values())
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_last_words_of_who_does_not_come_back_become_final_when_the_stream_is_over() -> None:
    async def speak() -> tuple[list[tuple[int, str]], World, Task]:
        world = World()
        task = world.task()
        client = Client(100 * WORD)
        await client.connect(task)
        client.send(6 * WORD)
        client.cut()
        await asyncio.sleep(60)
        assert task.slots.taken == 0
        before = world.words()
        await asyncio.sleep(RESUME_SECONDS)
        await task.sweep.look_at(0)
        await settle()
        return before, world, task

    before, world, task = run_in_virtual_time(speak())

    assert before == spoken(4 * WORD)
    assert world.words() == spoken(6 * WORD)
    assert task.viewer.finals[-1] == " ".join(SCRIPT[4:6])


def test_who_comes_back_later_says_the_last_words_himself() -> None:
    async def speak() -> World:
        world = World()
        task = world.task()
        client = Client(20 * WORD)
        await client.connect(task)
        client.send(6 * WORD)
        client.cut()
        await asyncio.sleep(60)
        await client.connect(task)
        assert client.at <= 4 * WORD
        await client.finish()
        await settle()
        return world

    assert run_in_virtual_time(speak()).words() == spoken(20 * WORD)


def test_a_frozen_task_that_wakes_up_publishes_nothing() -> None:
    async def speak() -> tuple[Task, World]:
        world = World()
        frozen, other = world.task(), world.task()
        client = Client(40 * WORD)
        await client.connect(frozen)
        client.send(7 * WORD)
        old, old_socket = client.stream, client.socket
        await settle()
        await client.connect(other)
        client.send(40 * WORD)
        shown = list(frozen.viewer.finals)
        old.accept(bytes(2 * 10 * WORD))  # what waited in its socket
        await asyncio.sleep(25)
        assert isinstance(old_socket.why, Refusal)
        assert old_socket.why.code is ErrorCode.MOVED
        assert frozen.viewer.finals == shown
        assert not any(frozen.viewer.shown[key] for key in list(frozen.viewer.shown)[1:])
        await client.finish()
        await settle()
        return frozen, world

    frozen, world = run_in_virtual_time(speak())

    assert world.words() == spoken(40 * WORD)
    assert frozen.slots.taken == 0


@pytest.mark.parametrize("change", ["token", "conversation", "attempt"])
def test_nobody_resumes_with_what_is_not_the_streams(change: str) -> None:
    async def resume(task_of: Callable[[World, Task], Task]) -> ErrorCode:
        world = World()
        first = world.task()
        client = Client(40 * WORD)
        await client.connect(first)
        client.cut()
        await client.connect(first)
        assert client.token is not None
        token = client.token
        request = ResumeRequest(
            Secret("csr", token.id, "a" * 26) if change == "token" else token,
            "other" if change == "conversation" else "talk",
            0 if change == "attempt" else 5,
        )
        with pytest.raises(Refusal) as refused:
            await task_of(world, first).resumable.resume(request, Socket(), still_allowed)
        with suppress(Exception):
            await client.finish()
        return refused.value.code

    expected = ErrorCode.MOVED if change == "attempt" else ErrorCode.RESUME_REFUSED
    assert run_in_virtual_time(resume(lambda _, here: here)) is expected
    assert run_in_virtual_time(resume(lambda world, _: world.task())) is expected


def test_a_stream_that_ended_is_over_for_whoever_resumes_it() -> None:
    async def speak() -> StreamOver:
        world = World()
        task = world.task()
        client = Client(10 * WORD)
        await client.connect(task)
        await client.finish()
        await settle()
        with pytest.raises(StreamOver) as over:
            await client.connect(world.task())
        return over.value

    over = run_in_virtual_time(speak())

    assert (over.seconds, over.finals) == (1.0, 3)


def test_the_place_of_a_parked_stream_goes_to_a_new_one() -> None:
    async def speak() -> World:
        world = World()
        task = world.task(slots=1)
        first, second = Client(20 * WORD), Client(8 * WORD)
        await first.connect(task)
        first.send(6 * WORD)
        first.cut()
        await settle()
        await second.connect(task)
        await second.finish()
        await settle()
        await first.connect(task)
        await first.finish()
        await settle()
        return world

    world = run_in_virtual_time(speak())

    assert world.words() == sorted(spoken(20 * WORD) + spoken(8 * WORD))


def test_without_a_ledger_nothing_begins_and_captions_go_on() -> None:
    async def speak() -> tuple[ErrorCode, list[str], list[str]]:
        world = World()
        task = world.task()
        client = Client(8 * WORD)
        await client.connect(task)
        world.ledger.is_away = True
        client.send(4 * WORD)
        await asyncio.sleep(1)
        with pytest.raises(Refusal) as refused:
            await Client(WORD).connect(task)
        shown = list(task.viewer.shown.values())
        assert task.viewer.finals == []
        assert client.stream.ack().durable == 0
        world.ledger.is_away = False
        await client.finish()
        return refused.value.code, shown, task.viewer.finals

    code, shown, finals = run_in_virtual_time(speak())

    assert code is ErrorCode.LEDGER_UNAVAILABLE
    assert shown == [" ".join(SCRIPT[:4])]
    assert finals == [" ".join(SCRIPT[:4]), " ".join(SCRIPT[4:8])]


def test_pauses_move_the_times_of_what_follows_whoever_computes_them() -> None:
    async def speak() -> list[Utterance]:
        world = World()
        first = world.task()
        client = Client(12 * WORD)
        await client.connect(first)
        client.send(4 * WORD)
        await asyncio.sleep(31)
        client.stream.pause(4 * WORD, 30.0)
        client.send(4 * WORD)
        await settle()
        await first.kill()
        await client.connect(world.task())
        client.stream.pause(4 * WORD, 30.0)
        await client.finish()
        await settle()
        return sorted(world.table.stored.values(), key=lambda one: one.timestamp)

    one, two, three = run_in_virtual_time(speak())

    assert (two.timestamp - one.timestamp).total_seconds() == pytest.approx(30.4, abs=0.002)
    assert (three.timestamp - two.timestamp).total_seconds() == pytest.approx(0.4, abs=0.002)


def test_nobody_speaks_in_the_future_whatever_pauses_he_claims() -> None:
    async def speak() -> tuple[datetime, list[Utterance]]:
        world = World()
        client = Client(12 * WORD)
        await client.connect(world.task())
        client.send(4 * WORD)
        for sample in range(1, 1_000):
            client.stream.pause(sample, 86_400.0)
        await client.finish()
        await settle()
        return Clock()(), list(world.table.stored.values())

    now, stored = run_in_virtual_time(speak())

    assert len(stored) == 3
    # Its audio came faster than it was spoken, so that the last words are a second ahead.
    assert all(one.timestamp <= now + timedelta(seconds=1.3) for one in stored)
