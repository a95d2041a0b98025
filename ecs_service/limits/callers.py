"""Who connects: how often an address may, and what becomes of its connection.

By address only the rate of connecting and of failing is bounded, never the number of connections:
a lecture hall is one address. Two budgets make two answers. Who connects too fast is refused by
name, over the WebSocket that it asked for. Who was refused too often by its own fault gets a plain
HTTP 429 for a while, before there is a WebSocket: a flood of named refusals would cost as much as
viewers do.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ecs_service.limits.rates import RateLimit
from ecs_service.refusal import Refusal
from transcripts.protocol import ErrorCode

#: Addresses that are remembered at a time, some 150 bytes each for each of the two budgets.
MOST_ADDRESSES = 4096
#: Ends that are not the client's fault: a full house is not that of the hall that wants to come in.
UNCOUNTED = frozenset(
    {
        ErrorCode.AT_CAPACITY,
        ErrorCode.DRAINING,
        ErrorCode.ENGINE_FAILED,
        ErrorCode.ENGINE_REFUSED,
        ErrorCode.INTERNAL,
        ErrorCode.IDLE_TIMEOUT,
        ErrorCode.SLOW_CONSUMER,
        ErrorCode.TOO_MANY_VIEWERS,
    }
)


class TooManyFailures(Exception):
    """The address is not worth an answer by name; it may try again after `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("Too many connections from this address were refused.")
        self.retry_after = retry_after


class Droppable(Protocol):
    """A connection as those see it who hold it open."""

    def protect(self) -> AbstractContextManager[None]:
        """Hold a place: meanwhile the connection is not dropped for the sake of new ones."""


class CallerLimits:
    """The budgets of all addresses."""

    def __init__(self, *, connects: RateLimit, failures: RateLimit) -> None:
        self._connects = connects
        self._failures = failures

    def count_connection(self, address: str) -> None:
        """Count one more connection of an address.

        Raises:
            TooManyFailures: too many of its connections were refused.
            Refusal: `rate_limited`, with the time to come back.
        """
        wait = self._failures.wait(address)
        if wait:
            raise TooManyFailures(wait)
        wait = self._connects.take(address)
        if wait:
            raise Refusal(
                ErrorCode.RATE_LIMITED,
                "Connections from this address come too fast.",
                retry_after=round(wait + 0.05, 1),
            )

    def count_failure(self, address: str) -> None:
        """Count a connection that was refused."""
        self._failures.spend(address)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end of one connection."""

    address: str
    connection: Droppable
    callers: CallerLimits

    def count_refusal(self, code: ErrorCode) -> None:
        """Count a refusal, if it is the client's own doing."""
        if code not in UNCOUNTED:
            self.callers.count_failure(self.address)
