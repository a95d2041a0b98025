"""A minimum transfer rate for peers, with a tolerance for pauses.

A peer has some seconds of patience in store, as in a token bucket. Waiting for the peer uses them
up, and each byte restores some, up to the initial store. So a peer that is fast enough may pause
for the whole patience, one that is too slow is dropped soon, and n bytes are awaited for at most
`patience + n / rate` seconds, however they are spread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


class TooSlow(Exception):
    """The peer was slower than the minimum rate for too long."""


@dataclass(slots=True)
class MinimumRate:
    """The minimum rate of one peer, and the patience that is left with it."""

    #: What a peer has to send, or to read, bytes per second.
    rate: float
    #: Seconds.
    patience: float
    #: Seconds; nothing is left at 0 and below.
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.patience

    def record(self, waited: float, size: int) -> None:
        """Count `size` bytes that were transferred after `waited` seconds."""
        self.left = min(self.patience, self.left - waited + size / self.rate)


class Outflow:
    """Checks from time to time whether a peer reads what is sent to it.

    Unread data stays in memory and would hold a closed connection for as long as the peer likes.

    Args:
        minimum: how fast it has to read.
    """

    def __init__(self, minimum: MinimumRate) -> None:
        self._minimum = minimum
        self._unsent = 0

    def check(self, waited: float, unsent: int) -> bool:
        """Return whether the peer is fast enough.

        Args:
            waited: seconds since the last check.
            unsent: bytes that are still in the write buffer.
        """
        if self._unsent:
            self._minimum.record(waited, max(0, self._unsent - unsent))
        self._unsent = unsent
        return not unsent or self._minimum.left > 0


async def enforce_rate(pieces: AsyncIterator[bytes], minimum: MinimumRate) -> AsyncIterator[bytes]:
    """Yield the pieces of a body while they arrive fast enough.

    The time that the caller spends between two pieces does not count.

    Raises:
        TooSlow: the patience is used up.
    """
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, minimum.left)):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TooSlow from None
        minimum.record(time.monotonic() - began, len(piece))
        yield piece
