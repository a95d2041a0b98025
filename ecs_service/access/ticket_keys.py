"""Keeps the public keys for tickets: all of them, read at the start and every five minutes.

A ticket with an unknown key id waits for the next reading, which is at most one in five seconds,
whatever strangers invent. All who wait share it, and it reads all keys, so that invented ids cannot
crowd out a real one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ecs_service.access.table import NoAnswer

#: From the begin of one reading to that of the next, at least, seconds.
REST_SECONDS: Final = 5.0
#: From one reading to the next if nothing asks for one, seconds.
REFRESH_SECONDS: Final = 300.0

ListKeys = Callable[[], Awaitable[Mapping[str, Ed25519PublicKey]]]


class TicketKeys:
    """The public keys by id.

    Args:
        list_keys: reads all keys that are valid now; raises NoAnswer.
    """

    def __init__(self, list_keys: ListKeys) -> None:
        self._list_keys = list_keys
        self._keys: Mapping[str, Ed25519PublicKey] = {}
        self._one_at_a_time = asyncio.Lock()
        self._began_at = -REST_SECONDS
        self._has_answer = False
        #: The reading that has not begun yet, which whoever comes now can share.
        self._next: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the key with an id, if it is known already."""
        return self._keys.get(key_id)

    async def wait_for(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the key with an id, after a new reading unless it is known; None if there is none.

        Raises:
            NoAnswer: that cannot be known at present.
        """
        if key_id not in self._keys:
            await self.refresh()
            if not self._has_answer:
                raise NoAnswer
        return self._keys.get(key_id)

    def refresh(self) -> Awaitable[None]:
        """Schedule a reading that begins after this call; return what waits for its end.

        If it fails, the known keys stay in use.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._read())
            self._tasks.add(self._next)
            self._next.add_done_callback(self._tasks.discard)
        return asyncio.shield(self._next)

    async def run(self) -> None:
        """Read the keys now and every five minutes, until cancelled."""
        try:
            while True:
                await self.refresh()
                await asyncio.sleep(REFRESH_SECONDS if self._has_answer else REST_SECONDS)
        finally:
            for task in tuple(self._tasks):
                task.cancel()

    async def _read(self) -> None:
        async with self._one_at_a_time:
            await asyncio.sleep(max(0.0, self._began_at + REST_SECONDS - monotonic()))
            self._next = None
            self._began_at = monotonic()
            self._has_answer = False
            with contextlib.suppress(NoAnswer):
                self._keys = await self._list_keys()
                self._has_answer = True
