"""Admission for recordings that come over the network: how many, how much, and how slowly.

A transfer takes no place in the queue of the transcribers, for it may be slow. It takes one of the
places that there are for transfers, and what has come counts against the bytes that all of them
may have on the disk. It leaves both once its recording has a place in the queue, or when it is
given up, which happens to those that are too slow (`foundation.minimum_rate`).

Bytes count as they come, not as they are announced: else a few callers that announce a lot and send
next to nothing would keep everybody else out. What is announced is only compared with what is free
now. So a transfer may be refused in the middle, though only while others have brought as much.

Uploads and downloads each have a `Transfers`, so that neither keeps the other out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from foundation.fair_slots import Shares
from foundation.minimum_rate import Pace, paced
from gpu_server.problems import Busy, NoSpace

#: When to come again if there is no place, or no room, seconds.
COME_AGAIN = 5


@dataclass(slots=True, kw_only=True)
class Transfers:
    """The transfers of one kind."""

    #: How many at a time.
    limit: int
    #: What they may have on the disk together.
    max_bytes: int
    #: The least that each has to bring, bytes per second.
    rate: float
    #: For how long one may bring nothing, seconds.
    patience: float
    #: How long one may take in all, seconds.
    longest: float
    held: int = field(init=False, default=0)  # bytes that they have
    _shares: Shares = field(init=False)

    def __post_init__(self) -> None:
        self._shares = Shares(self.limit)

    @property
    def running(self) -> int:
        """How many there are."""
        return self._shares.taken

    @contextmanager
    def admit(self, address: str) -> Iterator[Transfer]:
        """Give a place to a caller from an address.

        Raises:
            Busy: there is none.
        """
        if not self._shares.take(address):
            raise Busy(
                f"{self.running} recordings are on their way already.", retry_after=COME_AGAIN
            )
        transfer = Transfer(self)
        try:
            yield transfer
        finally:
            self.held -= transfer.held
            self._shares.leave(address)


@dataclass(slots=True)
class Transfer:
    """A recording on its way."""

    of: Transfers
    #: Bytes that have come.
    held: int = field(init=False, default=0)

    async def pieces(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield what comes.

        Raises:
            TooSlow: it comes too slowly.
            NoSpace: transfers have too much on the disk.
        """
        async for piece in paced(body, Pace(self.of.rate, self.of.patience)):
            self.expect(len(piece))
            self.held += len(piece)
            self.of.held += len(piece)
            yield piece

    def expect(self, size: int) -> None:
        """Refuse what there is no room for now.

        Raises:
            NoSpace: transfers would have too much on the disk.
        """
        if self.of.held + size > self.of.max_bytes:
            raise NoSpace("There is no room for the recording now.", retry_after=COME_AGAIN)
