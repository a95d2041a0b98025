"""Calls the table `access` in threads, so that the event loop never waits for it.

NoAnswer    the table did not answer, or not in a way that can be read
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from access.store import Item, Key
from access.tickets import Ticket
from ecs_service import telemetry

#: The longest that a socket waits for a call, seconds.
CALL_SECONDS: Final = 6.0
#: Calls at a time. They have threads of their own: a table that hangs delays no outbox.
THREADS: Final = 4

_T = TypeVar("_T")

log = structlog.get_logger(__name__)


class NoAnswer(Exception):
    """The table did not answer in time, or its answer cannot be read."""


class Table(Protocol):
    """`access.store.AccessTable`, as far as the service calls it. Blocking."""

    def read(self, keys: Iterable[Key], *, consistent: bool = True) -> dict[Key, Item]:
        """Return the items that exist of these keys."""

    def use_ticket(self, ticket: Ticket, attempt: str) -> bool:
        """Note that a ticket is used; return whether by this attempt."""

    def list_public_keys(self, now: datetime) -> dict[str, Ed25519PublicKey]:
        """Return the public keys for tickets."""


class TableCalls:
    """Calls a table; each method raises `NoAnswer` if that fails."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="access")

    def close(self) -> None:
        """Start no further call, and wait for none."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(self, keys: Collection[Key], *, consistent: bool) -> Mapping[Key, Item]:
        """Return the items that exist of these keys."""
        return await self._call("read", partial(self._table.read, keys, consistent=consistent))

    async def use_ticket(self, ticket: Ticket, attempt: str) -> bool:
        """Note that a ticket is used; return whether by this attempt."""
        return await self._call("use", partial(self._table.use_ticket, ticket, attempt))

    async def list_public_keys(self, now: datetime) -> Mapping[str, Ed25519PublicKey]:
        """Return the public keys for tickets."""
        return await self._call("keys", partial(self._table.list_public_keys, now))

    async def _call(self, kind: str, function: Callable[[], _T]) -> _T:
        telemetry.access_calls.labels(kind).inc()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except (BotoCoreError, ClientError, TimeoutError, KeyError, ValueError) as error:
            # Malformed items are among the last two. Their content is not logged.
            log.warning("access_table_unreadable", call=kind, error=type(error).__name__)
            raise NoAnswer from error
