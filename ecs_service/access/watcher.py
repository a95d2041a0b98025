"""Ends sockets that lose their right: the link was revoked, the person blocked, the key is over.

Every 20 seconds one task reads what all open sockets depend on, 100 items a call. A ticket's expiry
ends no socket. Sockets of one caller in one conversation share one decision, so a hall of guests
costs as much as one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, Protocol

from access.decisions import Refused
from access.store import Key
from ecs_service.access.refusals import access_revoked, access_unavailable
from ecs_service.access.rights import KEPT_SECONDS, Right, Rights
from ecs_service.access.table import NoAnswer
from ecs_service.refusal import Refusal

#: From one reading to the next, seconds; after a failed one.
WATCH_SECONDS: Final = 20.0
RETRY_SECONDS: Final = 5.0
#: Decisions in a row before the loop handles other events; a thousand take 10 ms.
_DECISIONS_AT_ONCE: Final = 100


class OpenSocket(Protocol):
    """A socket with a right."""

    def end(self, why: Refusal) -> None:
        """End the connection with an error."""


class RightsWatcher:
    """Knows the open sockets by their rights."""

    def __init__(self, rights: Rights, *, clock: Callable[[], float] = monotonic) -> None:
        self._rights = rights
        self._clock = clock
        self._sockets: dict[Right, set[OpenSocket]] = {}

    @contextmanager
    def hold(self, right: Right, socket: OpenSocket) -> Iterator[None]:
        """Watch a socket's right while the context is open."""
        self._sockets.setdefault(right, set()).add(socket)
        try:
            yield
        finally:
            holders = self._sockets[right]
            holders.discard(socket)
            if not holders:
                del self._sockets[right]

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        has_answer = True
        while True:
            await asyncio.sleep(WATCH_SECONDS if has_answer else RETRY_SECONDS)
            has_answer = await self.look()

    async def look(self) -> bool:
        """Read what open sockets depend on, and end those without a right.

        Returns whether the table answered.
        """
        has_answer = await self._refresh(self._sockets, consistent=False)
        suspects = await self._find_refused()
        if suspects:
            # What was read may be a second old; a role or a link may be younger than that.
            began = self._clock()
            has_answer = await self._refresh(suspects, consistent=True) and has_answer
            for right in suspects:
                self._end_if_refused(right, began)
        return has_answer

    async def _refresh(self, rights: Iterable[Right], *, consistent: bool) -> bool:
        rights = tuple(rights)
        read: set[Key] = set()
        # Twice, if the first reading names another owner, whose block counts for guests.
        while wanted := {key for right in rights for key in self._rights.keys_of(right)} - read:
            if not await self._rights.refresh(wanted, consistent=consistent):
                return False
            read |= wanted
        return True

    async def _find_refused(self) -> list[Right]:
        """Return the rights that seem to be lost; end the sockets whose right is unknown."""
        refused = []
        for number, right in enumerate(tuple(self._sockets), 1):
            if number % _DECISIONS_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                decision = self._rights.decide(right, newer_than=self._clock() - KEPT_SECONDS)
            except NoAnswer:
                self._end(right, access_unavailable())
            else:
                if isinstance(decision, Refused):
                    refused.append(right)
        return refused

    def _end_if_refused(self, right: Right, read_after: float) -> None:
        try:
            decision = self._rights.decide(right, newer_than=read_after)
        except NoAnswer:
            return  # the next look decides
        if isinstance(decision, Refused):
            self._end(right, access_revoked(decision.reason))

    def _end(self, right: Right, refusal: Refusal) -> None:
        for socket in tuple(self._sockets.get(right, ())):
            socket.end(refusal)
