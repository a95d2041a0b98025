"""How slowly a peer may send or read before it is given up.

A peer has some seconds of patience in store. Waiting for it uses them up, and each byte buys some
back, never more than there were at first. So a peer that keeps up may pause for the whole patience,
one that is too slow is given up soon, and n bytes are waited for `patience + n / rate` seconds at
most, however they are spread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


class TooSlow(Exception):
    """The patience with a peer is used up."""


@dataclass(slots=True)
class Pace:
    """What is left of the patience with one peer."""

    #: What a peer has to bring, or take, bytes per second.
    rate: float
    #: Seconds.
    patience: float
    #: Seconds; nothing is left at 0 and below.
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.patience

    def progress(self, waited: float, size: int) -> None:
        """Note that `size` bytes came, or went, after `waited` seconds."""
        self.left = min(self.patience, self.left - waited + size / self.rate)


async def paced(pieces: AsyncIterator[bytes], pace: Pace) -> AsyncIterator[bytes]:
    """Yield what comes. What the caller does in between takes nothing off the patience.

    Raises:
        TooSlow: the patience is used up.
    """
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, pace.left)):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TooSlow from None
        pace.progress(time.monotonic() - began, len(piece))
        yield piece
