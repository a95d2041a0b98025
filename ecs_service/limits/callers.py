"""Finds the address of a caller, and limits the rates at which it may connect and be refused.

The number of connections of an address is not limited, because a lecture hall is one address. There
are two budgets with two responses. A client that connects too fast gets the error `rate_limited`
over the WebSocket that it asked for. A client that was refused too often by its own fault gets a
plain HTTP 429 for a while, without a WebSocket: a flood of errors over WebSockets would cost as
much as viewers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ecs_service.limits.rates import RateLimit
from ecs_service.refusal import Refusal
from foundation.addresses import network_key
from transcripts.protocol import ErrorCode

#: The most addresses that are remembered, some 150 bytes each for each of the two budgets.
MOST_ADDRESSES = 4096
#: Errors that do not count as failures of the address, because the client did not cause them.
UNCOUNTED = frozenset(
    {
        # After a valid ticket. A revoked link ends a whole hall, which is one address.
        ErrorCode.ACCESS_REVOKED,
        ErrorCode.ACCESS_UNAVAILABLE,
        ErrorCode.TICKET_USED,
        ErrorCode.AT_CAPACITY,
        ErrorCode.DRAINING,
        ErrorCode.MOVED,
        ErrorCode.LEDGER_UNAVAILABLE,
        ErrorCode.ENGINE_FAILED,
        ErrorCode.ENGINE_REFUSED,
        ErrorCode.INTERNAL,
        ErrorCode.IDLE_TIMEOUT,
        ErrorCode.SLOW_CONSUMER,
        ErrorCode.TOO_MANY_VIEWERS,
    }
)


def caller_key(headers: Mapping[str, str], header: str | None, peer: str) -> str:
    """Return the key of the address in `header`, or of the socket's `peer`.

    Behind CloudFront the socket's peer is the load balancer for every client. So the page's
    CloudFront function writes the client's address into a header
    (`infra/web/functions/api_request.js`), and a setting names that header. Without the setting no
    header is trusted. Without a valid address in the header all clients behind the same peer share
    a key.
    """
    claimed = headers.get(header) if header else None
    return (network_key(claimed) if claimed else None) or network_key(peer) or peer


class TooManyFailures(Exception):
    """The address was refused too often; it may connect again after `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("Too many connections from this address were refused.")
        self.retry_after = retry_after


class Droppable(Protocol):
    """A connection that is dropped in favour of new ones unless it is protected."""

    def protect(self) -> AbstractContextManager[None]:
        """Keep the connection from being dropped while the context is open: it holds a slot."""


class CallerLimits:
    """The rate limits of all addresses."""

    def __init__(
        self, *, connects: RateLimit, failures: RateLimit, guests: RateLimit | None = None
    ) -> None:
        self._connects = connects
        self._failures = failures
        self._guests = connects if guests is None else guests

    def count_connection(self, address: str) -> None:
        """Count a new connection of an address.

        Raises:
            TooManyFailures: too many of its connections were refused.
            Refusal: `rate_limited`, with the time after which to try again.
        """
        self.check_failures(address)
        _take(self._connects, address, "Connections from this address come too fast.")

    def count_ticket(self, key: str, *, is_guest: bool) -> None:
        """Count a new connection of a caller with a valid ticket, whatever its address did.

        Raises:
            Refusal: as `count_connection`.
        """
        limit = self._guests if is_guest else self._connects
        _take(limit, key, "Connections of this caller come too fast.")

    def check_failures(self, address: str) -> None:
        """Check how often an address was refused.

        Raises:
            TooManyFailures: too often.
        """
        wait = self._failures.wait(address)
        if wait:
            raise TooManyFailures(wait)

    def count_failure(self, address: str) -> None:
        """Count a refused connection of an address."""
        self._failures.spend(address)


def _take(limit: RateLimit, key: str, message: str) -> None:
    wait = limit.take(key)
    if wait:
        retry_after = round(wait + 0.05, 1)
        raise Refusal(ErrorCode.RATE_LIMITED, message, retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class ConnectedClient:
    """The client of one connection: its address, and its accepted connection."""

    address: str
    connection: Droppable
    callers: CallerLimits

    def count_refusal(self, code: ErrorCode) -> None:
        """Count a refusal for the address, if the client caused it."""
        if code not in UNCOUNTED:
            self.callers.count_failure(self.address)
