"""What a ticket opens, and for how long."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from access.callers import Caller, Guest, Person
from access.decisions import Action
from access.tickets import OPEN_FOR, issue_ticket, sign_ticket
from ecs_service.access.door import AccountDoor, Wish
from ecs_service.refusal import Refusal
from tests.support.access import CONVERSATION, NOW, api_key, link, record
from tests.support.access_table import DirectCalls, MemoryTable
from tests.support.virtual_time import run_in_virtual_time
from transcripts.protocol import ErrorCode

pytestmark = pytest.mark.unit

SECOND = timedelta(seconds=1)


class Socket:
    def __init__(self) -> None:
        self.ended: list[ErrorCode] = []

    def end(self, why: Refusal) -> None:
        self.ended.append(why.code)


def find_end(caller: Caller, open_for: timedelta) -> list[ErrorCode]:
    """Return the errors of a reader's socket that is open for so long."""

    async def main() -> list[ErrorCode]:
        loop, table, socket = asyncio.get_running_loop(), MemoryTable(), Socket()
        table.put(record(links={"hall": link()}))
        table.put_key(api_key())

        def now() -> datetime:
            return NOW + timedelta(seconds=loop.time())

        door = AccountDoor(DirectCalls(table), now=now)
        await door.keys.refresh()
        ticket = issue_ticket(
            caller, Action.READ, CONVERSATION, languages=None, ends_at=None, now=now()
        )
        headers = {"Authorization": f"Bearer {sign_ticket(ticket, table.key)}"}
        wish = Wish(Action.READ, CONVERSATION)
        admission = door.admission(door.inspect(headers), wish, lambda: None)
        async with admission.admit(socket):
            await asyncio.sleep(open_for.total_seconds())
        return socket.ended

    return run_in_virtual_time(main())


def test_a_person_needs_a_new_ticket_after_12_hours() -> None:
    assert find_end(Person("ada"), OPEN_FOR - SECOND) == []
    assert find_end(Person("ada"), OPEN_FOR + SECOND) == [ErrorCode.TICKET_USED]


@pytest.mark.parametrize("caller", [Guest("hall"), Person("ada", key="k1")])
def test_who_has_a_stored_end_stays_until_then(caller: Caller) -> None:
    assert find_end(caller, 2 * OPEN_FOR) == []
