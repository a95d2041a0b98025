"""Who may open a socket, who loses it, and how few readings that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from access.callers import Caller, Guest, Person
from access.decisions import Action, Allowed, Reason, Refused
from access.records import Role, Scope
from access.store import record_key
from ecs_service.access.rights import (
    FRESH_SECONDS,
    IN_USE_SECONDS,
    KEPT_SECONDS,
    Right,
    Rights,
)
from ecs_service.access.table import NoAnswer
from ecs_service.access.watcher import WATCH_SECONDS, RightsWatcher
from ecs_service.refusal import Refusal
from tests.support.access import CONVERSATION, NOW, api_key, link, record
from tests.support.access_table import DirectCalls, MemoryTable
from tests.support.virtual_time import run_in_virtual_time
from transcripts.protocol import ErrorCode

pytestmark = pytest.mark.unit

HALL = Guest("hall")


class World:
    """A table, and what decides by it, on the loop's clock."""

    def __init__(self, **bounds: int) -> None:
        self.table = MemoryTable()
        self.table.put(record(links={"hall": link()}))
        loop = asyncio.get_running_loop()

        def now() -> datetime:
            return NOW + timedelta(seconds=loop.time())

        self.rights = Rights(DirectCalls(self.table), clock=loop.time, now=now, **bounds)
        self.watcher = RightsWatcher(self.rights, clock=loop.time)

    async def check(self, caller: Caller, action: Action = Action.READ, **values: Any) -> Any:
        return await self.rights.check(Right(caller, action, CONVERSATION, **values))

    def open(self, caller: Caller, action: Action = Action.READ, **values: Any) -> Socket:
        """Open a socket that stays open until it is ended."""
        socket = Socket()
        held = self.watcher.hold(Right(caller, action, CONVERSATION, **values), socket)
        held.__enter__()
        socket.on_end = lambda: held.__exit__(None, None, None)
        return socket


class Socket:
    def __init__(self) -> None:
        self.ended: list[ErrorCode] = []
        self.on_end: Callable[[], object] = lambda: None

    def end(self, why: Refusal) -> None:
        self.ended.append(why.code)
        self.on_end()


def run(main: Callable[[World], Awaitable[None]], **bounds: int) -> None:
    async def start() -> None:
        await main(World(**bounds))

    run_in_virtual_time(start())


@pytest.mark.parametrize(
    ("caller", "action", "reason"),
    [
        (Person("ada"), Action.SPEAK, None),
        (Person("sam"), Action.SPEAK, None),
        (Person("rita"), Action.READ, None),
        (Person("rita"), Action.SPEAK, Reason.ROLE_MISSING),
        (Person("eve"), Action.READ, Reason.NOT_FOUND),
        (HALL, Action.READ, None),
        (HALL, Action.SPEAK, Reason.ROLE_MISSING),
        (Guest("other"), Action.READ, Reason.LINK_INVALID),
        (Person("ada", key="k1"), Action.READ, None),
        (Person("ada", key="k1"), Action.SPEAK, Reason.SCOPE_MISSING),
        (Person("ada", key="k2"), Action.READ, Reason.KEY_INVALID),
        (Person("sam", key="k1"), Action.READ, Reason.KEY_INVALID),
    ],
)
def test_a_socket_opens_by_the_table(caller: Caller, action: Action, reason: Reason | None) -> None:
    async def main(world: World) -> None:
        world.table.put_key(api_key("ada", Scope.READ))
        expected = Allowed() if reason is None else Refused(reason)

        assert await world.check(caller, action) == expected

    run(main)


def test_a_guest_reads_the_languages_of_the_link() -> None:
    async def main(world: World) -> None:
        world.table.put(record(links={"hall": link(languages=("de",))}))

        assert isinstance(await world.check(HALL), Allowed), "originals"
        assert isinstance(await world.check(HALL, language="de"), Allowed)
        assert isinstance(await world.check(HALL, language="de-AT"), Allowed)
        assert isinstance(await world.check(HALL, language="fr"), Refused)

    run(main)


def test_who_is_blocked_gets_in_neither_as_a_person_nor_by_that_persons_links() -> None:
    async def main(world: World) -> None:
        world.table.block("ada")

        assert await world.check(Person("ada")) == Refused(Reason.BLOCKED)
        assert await world.check(HALL) == Refused(Reason.LINK_INVALID)
        assert await world.check(Person("rita")) == Allowed()

    run(main)


def test_2000_readers_at_once_cause_few_readings() -> None:
    async def main(world: World) -> None:
        guests = [world.check(HALL) for _ in range(2_000)]
        assert await asyncio.gather(*guests) == [Allowed()] * 2_000
        assert world.table.count("read") <= 3

        people = {f"p{number}": Role.READER for number in range(100)}
        world.table.put(record(people=people))
        await asyncio.sleep(FRESH_SECONDS + 1)
        readers = [world.check(Person(name)) for name in people for _ in range(20)]
        assert await asyncio.gather(*readers) == [Allowed()] * 2_000
        assert world.table.count("read") <= 6

    run(main)


def test_a_second_reader_needs_no_reading_for_20_seconds() -> None:
    async def main(world: World) -> None:
        await world.check(HALL)
        before = world.table.count("read")
        await asyncio.sleep(FRESH_SECONDS - 1)
        await world.check(HALL)
        assert world.table.count("read") == before
        await asyncio.sleep(2)
        await world.check(HALL)
        assert world.table.count("read") == before + 1

    run(main)


def test_a_refusal_is_not_decided_from_what_is_kept() -> None:
    async def main(world: World) -> None:
        await world.check(HALL)
        world.table.put(record(links={"hall": link(), "new": link()}))

        assert await world.check(Guest("new")) == Allowed()

        world.table.is_down = True
        with pytest.raises(NoAnswer):
            await world.check(Guest("newer"))

    run(main)


def test_what_was_read_within_5_minutes_counts_while_the_table_is_down() -> None:
    async def main(world: World) -> None:
        await world.check(HALL)
        world.table.is_down = True
        await asyncio.sleep(KEPT_SECONDS - 1)
        assert await world.check(HALL) == Allowed()
        with pytest.raises(NoAnswer):
            await world.check(Person("rita"))
        await asyncio.sleep(2)
        with pytest.raises(NoAnswer):
            await world.check(HALL)

    run(main)


def test_what_is_kept_is_bounded_and_what_open_sockets_need_stays() -> None:
    async def main(world: World) -> None:
        many = [Right(Person("ada"), Action.READ, f"c{number}") for number in range(20)]
        for right in many:
            world.table.put(record(conversation_id=right.conversation_id))
        world.open(HALL)
        watching = asyncio.create_task(world.watcher.run())
        for right in many[:-1]:
            assert await world.rights.check(right) == Allowed()
        await asyncio.sleep(IN_USE_SECONDS + 1)
        assert await world.rights.check(many[-1]) == Allowed()
        watching.cancel()

        world.table.is_down = True
        assert await world.rights.check(many[-1]) == Allowed()
        assert await world.check(HALL) == Allowed()
        with pytest.raises(NoAnswer):
            await world.rights.check(many[0])

    run(main, most_characters=1_000)


def test_a_malformed_record_refuses_its_conversation_alone() -> None:
    async def main(world: World) -> None:
        world.table.items[record_key("broken")] = {"document": {"S": "{}"}}
        broken = Right(Person("ada"), Action.READ, "broken")
        reading = asyncio.create_task(world.rights.check(broken))

        assert await world.check(HALL) == Allowed()
        with pytest.raises(NoAnswer):
            await reading

    run(main)


# --- open sockets --------------------------------------------------------------------------------


def test_sockets_end_when_their_right_does_and_the_others_stay() -> None:
    async def main(world: World) -> None:
        world.table.put_key(api_key("ada", Scope.READ))
        world.table.put(
            record(
                links={
                    "hall": link(),
                    "revoked": link(),
                    "over": link(expires_at=NOW + timedelta(seconds=30)),
                    "fewer": link(languages=("de", "fr")),
                }
            )
        )
        staying = [world.open(HALL), world.open(Person("rita")), world.open(Person("ada"))]
        leaving = {
            "revoked": world.open(Guest("revoked")),
            "over": world.open(Guest("over")),
            "blocked": world.open(Person("sam"), Action.SPEAK),
            "removed": world.open(Person("ada", key="k1")),
            "language": world.open(Guest("fewer"), language="fr"),
        }
        watching = asyncio.create_task(world.watcher.run())
        await asyncio.sleep(WATCH_SECONDS + 1)
        assert not any(socket.ended for socket in (*staying, *leaving.values()))

        links = {"hall": link(), "over": link(expires_at=NOW + timedelta(seconds=30))}
        world.table.put(record(links={**links, "fewer": link(languages=("de",))}))
        world.table.block("sam")
        world.table.items.pop(("key#k1", "key"))
        await asyncio.sleep(WATCH_SECONDS + 1)
        watching.cancel()

        assert {name: socket.ended for name, socket in leaving.items()} == {
            name: [ErrorCode.ACCESS_REVOKED] for name in leaving
        }
        assert not any(socket.ended for socket in staying)

    run(main)


def test_a_blocked_owner_ends_the_guests_of_that_owner() -> None:
    async def main(world: World) -> None:
        guest, reader = world.open(HALL), world.open(Person("rita"))
        await world.watcher.look()
        assert not guest.ended
        world.table.block("ada")
        await world.watcher.look()

        assert guest.ended == [ErrorCode.ACCESS_REVOKED]
        assert not reader.ended

    run(main)


def test_open_sockets_outlive_an_outage_of_5_minutes_and_no_longer() -> None:
    async def main(world: World) -> None:
        guest = world.open(HALL)
        watching = asyncio.create_task(world.watcher.run())
        await asyncio.sleep(WATCH_SECONDS + 1)
        world.table.is_down = True
        await asyncio.sleep(KEPT_SECONDS - 5)
        assert not guest.ended
        await asyncio.sleep(30)
        assert guest.ended == [ErrorCode.ACCESS_UNAVAILABLE]

        world.table.is_down = False
        again = world.open(HALL)
        await asyncio.sleep(WATCH_SECONDS)
        watching.cancel()
        assert not again.ended

    run(main)


def test_4000_open_sockets_are_read_in_calls_of_100_items() -> None:
    async def main(world: World) -> None:
        for number in range(2_000):
            world.open(Person(f"p{number % 100}"))
            world.open(HALL)
        people = {f"p{number}": Role.READER for number in range(100)}
        world.table.put(record(people=people, links={"hall": link()}))
        await world.watcher.look()

        assert max(items for _, items in world.table.calls) <= 100
        assert world.table.count("read") <= 3

    run(main)


def test_who_was_allowed_by_a_younger_record_is_not_ended_by_an_older_one() -> None:
    async def main(world: World) -> None:
        newcomer = world.open(Guest("new"))
        newer = record(links={"hall": link(), "new": link()})
        reading = world.table.read

        def read(keys: Any, *, consistent: bool = True) -> Any:
            if consistent:
                world.table.put(newer)
            return reading(keys, consistent=consistent)

        world.table.read = read  # type: ignore[method-assign]  # replicas that lag
        await world.watcher.look()

        assert not newcomer.ended

    run(main)
