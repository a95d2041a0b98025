"""Measures what a ticket costs at the service's door: CPU time for each socket that opens.

The door runs in this process, on a table in memory. Measured are the check of the ticket before the
upgrade and that of the right after it, from what was read before. Readings of the table are shared
by all sockets that open within 20 seconds. A speaker's write is included.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import process_time
from typing import TypeAlias

from multidict import CIMultiDict

from access.callers import Caller, Guest, Person
from access.decisions import Action
from access.records import MOST_LINKS, MOST_PEOPLE, Role
from access.tickets import TicketError
from benchmarks.figures import format_target, table_of
from ecs_service.access.door import AccountDoor, Wish
from ecs_service.access.table import TableCalls
from ecs_service.refusal import Refusal
from tests.support.access import CONVERSATION, link, record, signing_key
from tests.support.access_table import MemoryTable

#: The target for each socket, microseconds.
CPU_US = 1_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    sockets: int = 2_000


QUICK = Plan(sockets=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU time of each socket of a kind, microseconds."""

    caller: str
    before_upgrade: float
    after_upgrade: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.before_upgrade + self.after_upgrade


#: What the table calls it, who it is, and what for.
_Kind: TypeAlias = tuple[str, Caller, Action]


class _Socket:
    def end(self, why: Refusal) -> None:
        raise why


def run(plan: Plan, progress: Callable[[str], None]) -> list[Cost]:
    """Measure the door with a record as large as it may be."""
    progress(f"admission: {plan.sockets} sockets of each kind")
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> list[Cost]:
    kept = MemoryTable()
    people = {f"p{number}": Role.READER for number in range(MOST_PEOPLE)}
    links = {f"l{number}": link() for number in range(MOST_LINKS)}
    kept.put(record(people=people, links=links))
    calls = TableCalls(kept)
    door = AccountDoor(calls)
    await door.keys.refresh()
    kinds: list[_Kind] = [
        ("guest, reads", Guest("l1"), Action.READ),
        ("person, reads", Person("p1"), Action.READ),
        ("owner, speaks", Person("ada"), Action.SPEAK),
    ]
    costs = [await _admit(door, kept, plan, kind) for kind in kinds]
    wrong = (
        kept.ticket(Guest("l1")).rpartition(".")[0]
        + "."
        + kept.ticket(Guest("l1"), key=signing_key()).rpartition(".")[2]
    )
    costs.append(_refuse(door, plan, "forged signature", {"Authorization": f"Bearer {wrong}"}))
    costs.append(_refuse(door, plan, "no ticket", {"Host": "127.0.0.1"}))
    calls.close()
    return costs


async def _admit(door: AccountDoor, kept: MemoryTable, plan: Plan, kind: _Kind) -> Cost:
    name, caller, action = kind
    tickets = [kept.ticket(caller, action) for _ in range(plan.sockets)]
    sent = [CIMultiDict({"Authorization": f"Bearer {ticket}"}) for ticket in tickets]
    wish = Wish(action, CONVERSATION)
    began = process_time()
    admissions = [door.admission(door.inspect(headers), wish, lambda: None) for headers in sent]
    verified = process_time()
    async with AsyncExitStack() as held:
        for admission in admissions:
            await held.enter_async_context(admission.admit(_Socket()))
            await admission.use_ticket()
        admitted = process_time()
    return Cost(
        caller=name,
        before_upgrade=(verified - began) / plan.sockets * 1e6,
        after_upgrade=(admitted - verified) / plan.sockets * 1e6,
    )


def _refuse(door: AccountDoor, plan: Plan, name: str, headers: dict[str, str]) -> Cost:
    sent = CIMultiDict(headers)
    began = process_time()
    for _ in range(plan.sockets):
        with contextlib.suppress(TicketError):
            door.inspect(sent)
    spent = (process_time() - began) / plan.sockets * 1e6
    return Cost(caller=name, before_upgrade=spent, after_upgrade=0.0)


def report(costs: Sequence[Cost]) -> str:
    """Return the table, and below it whether the target is met."""
    columns: dict[str, Callable[[Cost], object]] = {
        "caller": lambda one: one.caller,
        "before the upgrade, us": lambda one: one.before_upgrade,
        "after it, us": lambda one: one.after_upgrade,
        "CPU us / socket": lambda one: one.total,
    }
    most = max(one.total for one in costs)
    target = format_target(
        f"CPU per socket, us: {most:.0f}, at most {CPU_US:.0f}", is_kept=most <= CPU_US
    )
    return "\n".join([table_of(costs, columns), "", target])
