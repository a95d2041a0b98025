"""Lets callers with a ticket in: half of the check before the upgrade, half after it.

Before the upgrade `AccountDoor.inspect` verifies the ticket, and `check_use` compares it with what
is asked. Both are quick and wait for nothing. After it `Admission.admit` decides by the table, and
`Admission.use_ticket` uses up a speaker's ticket. In an open environment there is no door, and
every socket has the `Admission` that asks nothing.

A socket that resumes a stream has the stream's token in place of a ticket. The ledger has whose
right the stream needs, and `Admission.resume` proves that right anew.

A ticket whose key is not known yet is verified after the upgrade, because a handshake cannot wait
for the table. Its socket holds no slot meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from access.callers import Guest
from access.decisions import Action, Refused
from access.secret import make_id
from access.tickets import (
    Ticket,
    TicketError,
    TicketReason,
    check_use,
    read_key_id,
    verify_ticket,
)
from ecs_service.access.credentials import find_ticket
from ecs_service.access.refusals import access_revoked, access_unavailable, ticket_used
from ecs_service.access.rights import MOST_ITEMS, Right, Rights
from ecs_service.access.table import NoAnswer, TableCalls
from ecs_service.access.ticket_keys import TicketKeys
from ecs_service.access.watcher import OpenSocket, RightsWatcher


class Admission:
    """What a socket has to pass before it is served: nothing, in an open environment."""

    #: Whether the caller has shown a ticket that is verified.
    is_verified = False

    @asynccontextmanager
    async def admit(self, socket: OpenSocket) -> AsyncIterator[None]:
        """Check the right, and watch it while the context is open.

        Raises:
            Refusal: there is no right, or it cannot be checked.
        """
        del socket
        yield

    async def use_ticket(self) -> str:
        """Use up the ticket; called last, when nothing else refuses the socket.

        Returns whose right the socket has, in the words that `resume` understands.

        Raises:
            Refusal: it was used before, or that cannot be known.
        """
        return ""

    @asynccontextmanager
    async def resume(self, right: str, socket: OpenSocket) -> AsyncIterator[None]:
        """Check the right of the stream that is resumed, and watch it while the context is open.

        Raises:
            Refusal: there is no right any more, it has to be proved anew, or cannot be checked.
        """
        del right, socket
        yield


#: Of everybody, in an open environment.
OPEN: Final = Admission()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for."""

    action: Action
    conversation_id: str | None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Presented:
    """A ticket that was presented; `ticket` is None while its key is unknown."""

    token: str
    ticket: Ticket | None

    def rate_key(self, address: str) -> str:
        """Return the key under which the caller's connections are counted.

        Guests of one link may be a hall or strangers to each other, so the address
        separates them. Without a verified ticket the address is all there is.
        """
        if self.ticket is None:
            return address
        caller = self.ticket.caller
        return f"{caller.link}@{address}" if isinstance(caller, Guest) else caller.subject


class AccountDoor:
    """Checks tickets and rights in an environment with accounts."""

    def __init__(
        self,
        calls: TableCalls,
        *,
        most_sockets: int = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._calls = calls
        self.now = now
        self.keys = TicketKeys(lambda: calls.list_public_keys(now()))
        # A socket depends on four items at most.
        self.rights = Rights(calls, most_items=max(MOST_ITEMS, 4 * most_sockets), now=now)
        self.watcher = RightsWatcher(self.rights)

    def inspect(self, headers: Mapping[str, str]) -> Presented:
        """Return the ticket of a request, verified unless its key is unknown.

        Raises:
            TicketError: it is missing, not valid or expired.
        """
        token = find_ticket(headers)
        if self.keys.find(read_key_id(token)) is None:
            return Presented(token, None)
        return Presented(token, verify_ticket(token, self.keys.find, self.now()))

    def admission(
        self, presented: Presented, wish: Wish, on_invalid: Callable[[], None]
    ) -> Admission:
        """Return the admission of a socket.

        Args:
            presented: the ticket.
            wish: what the socket is for.
            on_invalid: called if a ticket is found to be invalid after the upgrade.

        Raises:
            TicketError: the ticket is for something else.
        """
        if presented.ticket is not None:
            _check_wish(presented.ticket, wish)
        return _TicketAdmission(self, presented, wish, on_invalid)

    def resumption(self) -> Admission:
        """Return the admission of a socket that has a resume token and no ticket."""
        return _ResumeAdmission(self)

    async def verify(self, presented: Presented, wish: Wish) -> Ticket:
        """Return the ticket, after reading its key if that is necessary.

        Raises:
            TicketError: it is not valid, expired, or for something else.
            NoAnswer: the key cannot be read.
        """
        if presented.ticket is not None:
            return presented.ticket
        key = await self.keys.wait_for(read_key_id(presented.token))
        ticket = verify_ticket(presented.token, lambda _: key, self.now())
        _check_wish(ticket, wish)
        return ticket

    async def use(self, ticket: Ticket) -> bool:
        """Use up a ticket; return whether it was unused.

        Raises:
            NoAnswer: that cannot be known.
        """
        attempt = make_id()
        try:
            return await self._calls.use_ticket(ticket, attempt)
        except NoAnswer:
            # Its answer may be lost; the table recognises the attempt.
            return await self._calls.use_ticket(ticket, attempt)


class _TicketAdmission(Admission):
    def __init__(
        self, door: AccountDoor, presented: Presented, wish: Wish, on_invalid: Callable[[], None]
    ) -> None:
        self._door = door
        self._presented = presented
        self._wish = wish
        self._on_invalid = on_invalid
        self._ticket: Ticket
        self.is_verified = presented.ticket is not None

    @asynccontextmanager
    async def admit(self, socket: OpenSocket) -> AsyncIterator[None]:
        try:
            ticket = self._ticket = await self._door.verify(self._presented, self._wish)
        except NoAnswer:
            raise access_unavailable() from None
        except TicketError as error:
            if error.reason is TicketReason.EXPIRED:
                raise ticket_used(error.reason.value) from None
            self._on_invalid()
            raise access_revoked(error.reason.value) from None
        async with _hold(self._door, ticket, self._wish.language, socket):
            yield

    async def use_ticket(self) -> str:
        if self._wish.action is Action.SPEAK:
            try:
                is_first = await self._door.use(self._ticket)
            except NoAnswer:
                raise access_unavailable() from None
            if not is_first:
                raise ticket_used()
        return self._ticket.model_dump_json(by_alias=True, exclude_none=True)

    @asynccontextmanager
    async def resume(self, right: str, socket: OpenSocket) -> AsyncIterator[None]:
        """Take the new ticket for the right; it was checked by `admit`."""
        del right, socket
        await self.use_ticket()
        yield


class _ResumeAdmission(Admission):
    def __init__(self, door: AccountDoor) -> None:
        self._door = door

    async def use_ticket(self) -> str:
        raise ticket_used("missing")

    @asynccontextmanager
    async def resume(self, right: str, socket: OpenSocket) -> AsyncIterator[None]:
        try:
            ticket = Ticket.model_validate_json(right)
        except ValidationError:
            # The stream began while the environment was open.
            raise access_revoked("missing") from None
        if ticket.closes_at is not None and ticket.closes_at <= self._door.now():
            raise ticket_used("ticket_old")
        async with _hold(self._door, ticket, None, socket):
            yield


@asynccontextmanager
async def _hold(
    door: AccountDoor, ticket: Ticket, language: str | None, socket: OpenSocket
) -> AsyncIterator[None]:
    """Check the right behind a ticket, and watch it while the context is open.

    Raises:
        Refusal: there is no right, or it cannot be checked.
    """
    right = Right(ticket.caller, Action(ticket.action), ticket.conversation_id, language)
    try:
        decision = await door.rights.check(right)
    except NoAnswer:
        raise access_unavailable() from None
    if isinstance(decision, Refused):
        raise access_revoked(decision.reason)
    with door.watcher.hold(right, socket), _close_later(door, ticket, socket):
        yield


@contextmanager
def _close_later(door: AccountDoor, ticket: Ticket, socket: OpenSocket) -> Iterator[None]:
    """End the socket when its ticket says, while the context is open."""
    if ticket.closes_at is None:
        yield
        return
    seconds = (ticket.closes_at - door.now()).total_seconds()
    closing = asyncio.get_running_loop().call_later(seconds, _end_as_old, socket)
    try:
        yield
    finally:
        closing.cancel()


def _end_as_old(socket: OpenSocket) -> None:
    socket.end(ticket_used("ticket_old"))


def _check_wish(ticket: Ticket, wish: Wish) -> None:
    # A ticket is for one conversation, so the server invents none.
    check_use(ticket, wish.action, wish.conversation_id or "", wish.language)
