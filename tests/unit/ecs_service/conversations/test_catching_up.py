"""Viewers who go and come back, while finals come in any order, from here and from elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_service.conversations import table_updates
from ecs_service.conversations.catching_up import CatchingUp
from ecs_service.conversations.hub import Conversation, Hub
from ecs_service.conversations.positions import LATENESS, Position, mark_of
from ecs_service.conversations.remembered import MOST_FINALS, REMEMBER_SECONDS
from ecs_service.conversations.table_updates import NoStoredFinals, TableUpdates
from tests.support.utterances import utterance
from transcripts.models import Utterance

pytestmark = pytest.mark.unit

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Table:
    """The table, whose calls are counted; it may be away."""

    def __init__(self) -> None:
        self.stored: list[Utterance] = []
        self.is_away = False
        self.calls: list[datetime] = []

    def read(self, _: str, moment: datetime) -> Iterator[Utterance]:
        self.calls.append(moment)
        if self.is_away:
            raise EndpointConnectionError(endpoint_url="table")
        found = [one for one in self.stored if one.timestamp >= moment]
        return iter(sorted(found, key=lambda one: one.sort_key))


class Viewer:
    """A viewer, who may be away; remembers all that he has received, and every position."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.positions: list[str | None] = [None]
        self.has_gap = False
        self.stack = ExitStack()

    def deliver(self, frame: bytes) -> None:
        message: dict[str, Any] = json.loads(frame)
        self.ids += [one["utteranceId"] for one in message.get("utterances", [])]
        self.ids += [message["utteranceId"]] if message["type"] == "final" else []
        if "position" in message:
            self.positions.append(message["position"])

    async def join(self, hub: Hub, updates: TableUpdates, since: str | None = None) -> list[str]:
        """Join as the socket does; return the ids of the finals that come first."""
        before = len(self.ids)
        position = None if since is None else Position.parse(since)
        with hub.add_viewer("talk") as conversation:
            catching_up = CatchingUp(updates, conversation, position)
            is_complete = await catching_up.read(5.0)
            is_lagging = not is_complete and catching_up.goes_on
            self.has_gap = catching_up.has_gap
            self.stack.enter_context(hub.add_subscriber("talk", self, is_lagging=is_lagging))
            text = since if is_lagging else conversation.position()
            frame = conversation.snapshot_frame(
                catching_up.missing(), complete=is_complete, position=text
            )
        self.deliver(frame)
        return self.ids[before:]

    def leave(self) -> None:
        self.stack.close()


class World:
    """Two tasks with one table."""

    def __init__(self, table: Table | NoStoredFinals | None = None) -> None:
        self.clock = Clock()
        self.table = Table()
        self.hubs = [Hub(now=self.clock), Hub(now=self.clock)]
        self.updates = [TableUpdates(hub, table or self.table) for hub in self.hubs]
        self.counts: dict[str, int] = {}

    @property
    def talk(self) -> Conversation:
        return self.hubs[0].conversation("talk")

    def say(self, stream: str = "s", late: float = 0.0) -> Utterance:
        """Return the next final of a stream, which was spoken `late` seconds ago."""
        number = self.counts[stream] = self.counts.get(stream, 0) + 1
        moment = self.clock.now - timedelta(seconds=late)
        identity = f"{stream}-{number}"
        return utterance(utterance_id=identity, timestamp=moment, number=number, words=())

    def publish(self, final: Utterance, task: int = 0, *, stored: bool = True) -> str:
        self.hubs[task].conversation("talk").publish_final(final)
        if stored:
            self.table.stored.append(final)
        return final.utterance_id

    async def join(self, viewer: Viewer, since: str | None = None, task: int = 0) -> list[str]:
        return await viewer.join(self.hubs[task], self.updates[task], since)

    async def refresh(self, task: int = 0) -> None:
        self.hubs[task].sweep()
        await asyncio.gather(
            *[self.updates[task].refresh(one.id) for one in self.hubs[task].subscribed]
        )


async def test_who_comes_back_gets_exactly_what_was_missed() -> None:
    world, viewer = World(), Viewer()
    await world.join(viewer)
    world.publish(world.say())
    viewer.leave()
    missed = [world.publish(world.say()) for _ in range(3)]

    assert await world.join(viewer, viewer.positions[-1]) == missed
    assert len(world.table.calls) == 1, "it came out of memory"


async def test_a_viewer_of_another_task_goes_on_here() -> None:
    world, viewer = World(), Viewer()
    await world.join(viewer, task=1)
    world.publish(world.say(), task=1)
    viewer.leave()
    missed = [world.publish(world.say("other"), task=0), world.publish(world.say(), task=1)]

    assert sorted(await world.join(viewer, viewer.positions[-1])) == sorted(missed)


async def test_what_is_forgotten_here_comes_from_the_table() -> None:
    world, viewer = World(), Viewer()
    await world.join(viewer)
    viewer.leave()
    missed = [world.publish(world.say())]
    world.clock.wait(REMEMBER_SECONDS + 1)
    world.hubs[0].sweep()
    missed.append(world.publish(world.say()))

    assert await world.join(viewer, viewer.positions[-1]) == missed


async def test_memory_is_bounded_and_nothing_is_lost_by_that() -> None:
    world, viewer, watching = World(), Viewer(), Viewer()
    await world.join(watching)
    await world.join(viewer)
    viewer.leave()
    missed = [world.publish(world.say()) for _ in range(MOST_FINALS + 10)]

    assert len(world.talk._remembered) == MOST_FINALS
    assert sorted(await world.join(viewer, viewer.positions[-1])) == sorted(missed)


async def test_without_a_table_a_viewer_learns_that_something_is_missing() -> None:
    world, viewer, watching = World(NoStoredFinals()), Viewer(), Viewer()
    await world.join(watching)
    await world.join(viewer)
    viewer.leave()
    world.publish(world.say())
    world.clock.wait(REMEMBER_SECONDS + 1)
    world.hubs[0].sweep()
    await world.join(viewer, viewer.positions[-1])

    assert viewer.has_gap


async def test_who_was_away_too_long_gets_the_last_two_minutes() -> None:
    world, viewer = World(), Viewer()
    await world.join(viewer)
    viewer.leave()
    world.publish(world.say())
    world.clock.wait(LATENESS.total_seconds() + 200)
    latest = world.publish(world.say())

    assert await world.join(viewer, viewer.positions[-1]) == [latest]
    assert viewer.has_gap


async def test_who_lacks_too_much_gets_the_last_two_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_updates, "MOST_READ", 5)
    world, viewer = World(), Viewer()
    await world.join(viewer, task=1)
    viewer.leave()
    for _ in range(6):
        world.publish(world.say(), task=1)
        world.clock.wait(60)

    assert await world.join(viewer, viewer.positions[-1]) == ["s-5", "s-6"]
    assert viewer.has_gap


async def test_all_who_come_back_at_once_share_one_reading() -> None:
    world, viewers = World(), [Viewer() for _ in range(50)]
    missed = world.publish(world.say(), task=1)
    position = Position.parse(world.talk.position()).encode()
    got = await asyncio.gather(*[world.join(one, position) for one in viewers])

    assert got == [[missed]] * 50
    assert len(world.table.calls) == 1


async def test_without_the_table_a_position_stays_where_it_was() -> None:
    world, viewer = World(), Viewer()
    await world.join(viewer, task=1)
    viewer.leave()
    since = viewer.positions[-1]
    lost = world.publish(world.say(), task=1)
    world.table.is_away = True
    world.clock.wait(1)
    await world.join(viewer, since)
    live = world.publish(world.say("other"))
    viewer.leave()
    world.table.is_away = False

    assert viewer.ids == [live]
    assert viewer.positions[-1] == since
    assert await world.join(viewer, viewer.positions[-1]) == [lost, live]


async def test_a_late_final_of_another_task_is_shown_once() -> None:
    world, viewer = World(), Viewer()
    await world.join(viewer)
    world.clock.wait(70)
    late = world.publish(world.say(late=1200), task=1)
    for _ in range(30):
        await world.refresh()
        world.clock.wait(5)

    assert viewer.ids == [late]


async def test_finals_that_follow_a_late_one_come_with_the_next_reading() -> None:
    world, viewer = World(), Viewer()
    await world.join(viewer)
    world.clock.wait(70)
    late = [world.publish(world.say(late=1200), task=1)]
    await world.refresh()
    world.clock.wait(5)
    late.append(world.publish(world.say(late=1190), task=1))
    await world.refresh()

    assert viewer.ids == late


async def test_looking_back_costs_a_long_reading_a_minute() -> None:
    world, viewer = World(), Viewer()
    await world.join(viewer)
    for _ in range(120):
        world.clock.wait(5)
        await world.refresh()

    long = [moment for moment in world.table.calls[1:] if moment.year == BEGIN.year]
    lengths = [BEGIN + timedelta(seconds=5 * (n + 1)) - at for n, at in enumerate(long)]
    assert sum(length > timedelta(minutes=3) for length in lengths) == 10


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 100, 400])),
        st.tuples(st.just("say"), st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("hold"), st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("release"), st.integers(0, 5), st.integers(0, 1)),
        st.tuples(st.just("store")),
        st.tuples(st.just("toggle_table")),
        st.tuples(st.just("refresh"), st.integers(0, 1)),
        st.tuples(st.just("leave")),
        st.tuples(st.just("join"), st.integers(0, 1), st.integers(1, 4)),
    ),
    max_size=40,
)


class Story:
    """What happens to a viewer of two tasks, on each of which somebody else may stay."""

    def __init__(self) -> None:
        self.world, self.viewer = World(), Viewer()
        self.is_here = False
        self.held: list[tuple[Utterance, int]] = []
        self.queued: list[Utterance] = []
        #: What became final since the viewer joined.
        self.owed: set[str] = set()
        self.seconds = 0
        self.left_at = BEGIN

    async def begin(self, *, is_watched: bool) -> None:
        for task in (0, 1) if is_watched else ():
            await self.world.join(Viewer(), task=task)
        await self.world.join(self.viewer)
        self.is_here = True

    async def wait(self, seconds: int) -> None:
        # Nothing is longer under way, and nobody longer away, than the page allows.
        if self.seconds + seconds < LATENESS.total_seconds():
            self.seconds += seconds
            self.world.clock.wait(seconds)

    async def say(self, stream: int, task: int) -> None:
        self.owed.add(self.world.publish(self.world.say(f"s{stream}"), task))

    async def hold(self, stream: int, task: int) -> None:
        """Say something that becomes final later."""
        self.held.append((self.world.say(f"s{stream}"), task))

    async def release(self, which: int, is_stored: int) -> None:
        if self.held:
            final, task = self.held.pop(which % len(self.held))
            self.owed.add(self.world.publish(final, task, stored=bool(is_stored)))
            if not is_stored:
                self.queued.append(final)

    async def store(self) -> None:
        self.world.table.stored += self.queued
        self.queued.clear()

    async def toggle_table(self) -> None:
        self.world.table.is_away = not self.world.table.is_away

    async def refresh(self, task: int) -> None:
        await self.world.refresh(task)

    async def leave(self) -> None:
        self.viewer.leave()
        self.is_here = False

    async def join(self, task: int, back: int) -> None:
        """Come back with one of the last positions."""
        if self.is_here:
            return
        texts = [text for text in self.viewer.positions if text is not None]
        since = texts[-min(back, len(texts))]
        position = Position.parse(since)
        all_finals = (*self.world.table.stored, *self.queued)
        covered = {one.utterance_id for one in all_finals if position.covers(mark_of(one))}
        assert covered <= set(self.viewer.ids), "a position covers what was not received"
        got = await self.world.join(self.viewer, since, task)
        self.is_here = True
        assert not covered & set(got), "what is covered is not sent again"
        assert len(got) == len(set(got))

    async def end(self) -> None:
        await self.store()
        self.world.table.is_away = False
        if any(self.viewer in hub.conversation("talk").lagging for hub in self.world.hubs):
            await self.leave()
        await self.join(0, 1)
        self.world.clock.wait(61)
        for task in (0, 1):
            await self.world.refresh(task)


@given(steps=_steps, is_watched=st.booleans())
@settings(max_examples=400, deadline=None)
async def test_no_viewer_misses_a_final(*, steps: list[tuple[Any, ...]], is_watched: bool) -> None:
    """With any position that he was sent, a viewer gets all that came after he first joined."""
    story = Story()
    await story.begin(is_watched=is_watched)
    for kind, *values in steps:
        await getattr(story, kind)(*values)
    await story.end()

    assert story.owed <= set(story.viewer.ids)


class LongStory(Story):
    """Hours, in which nothing is under way, and nobody away, for longer than the lateness.

    The tasks read the table as they do: again and again.
    """

    async def wait(self, seconds: int) -> None:
        clock, heard = self.world.clock, self.viewer
        began = [one.timestamp for one in (*(final for final, _ in self.held), *self.queued)]
        if not self.is_here:
            began.append(self.left_at)
        for _ in range(seconds // 20):
            if began and clock.now - min(began) > LATENESS - timedelta(minutes=2):
                return
            clock.wait(20)
            for task, hub in enumerate(self.world.hubs):
                await self.world.refresh(task)
                talk = hub.conversation("talk")
                if heard in talk.subscribers:
                    heard.deliver(talk.heartbeat(position=talk.position()))

    async def leave(self) -> None:
        await super().leave()
        self.left_at = self.world.clock.now

    async def join(self, task: int, back: int) -> None:
        del back
        await super().join(task, 1)
        assert not self.viewer.has_gap

    async def toggle_table(self) -> None:
        """Leave the table where it is: while it is away positions may grow too old."""


_long_steps = _steps.map(
    lambda steps: [(kind, *(v * 5 if kind == "wait" else v for v in rest)) for kind, *rest in steps]
)


@given(steps=_long_steps, is_watched=st.booleans())
@settings(max_examples=100, deadline=None)
async def test_no_viewer_misses_a_final_in_hours(
    *, steps: list[tuple[Any, ...]], is_watched: bool
) -> None:
    story = LongStory()
    await story.begin(is_watched=is_watched)
    for kind, *values in steps:
        await getattr(story, kind)(*values)
    await story.end()

    assert story.owed <= set(story.viewer.ids)
