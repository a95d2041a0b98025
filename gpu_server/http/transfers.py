"""Admission of recordings that arrive over the network: how many, how large, and how slow.

A transfer may be slow, so it takes no place in the transcribers' queue. It takes one of the slots
for transfers, and its bytes count against the space on the disk for all transfers. It releases both
once its recording has a place in the queue, or when it is cancelled because it is too slow
(`foundation.minimum_rate`).

Bytes count when they arrive, not when they are announced: otherwise a few callers that announce
much and send next to nothing would keep all others out. An announced size is only compared with
what is free now. So a transfer may be refused in the middle, but only while others have sent as
much.

Uploads and downloads have a `Transfers` each, so that neither keeps the other out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from foundation.fair_slots import FairSlots
from foundation.minimum_rate import MinimumRate, enforce_rate
from gpu_server.problems import Busy, NoSpace

#: `Retry-After` where no slot, or no room on the disk, is free, seconds.
RETRY_AFTER = 5


@dataclass(slots=True, kw_only=True)
class Transfers:
    """The transfers of one kind, uploads or downloads, and their limits."""

    #: Transfers at a time.
    limit: int
    #: Bytes that they may have on the disk together.
    max_bytes: int
    #: The least that each has to send, bytes per second.
    rate: float
    #: How long one may send nothing, seconds.
    patience: float
    #: The longest duration of one, seconds.
    longest: float
    held: int = field(init=False, default=0)  # bytes on the disk
    _slots: FairSlots = field(init=False)

    def __post_init__(self) -> None:
        self._slots = FairSlots(self.limit)

    @property
    def running(self) -> int:
        """How many transfers are running."""
        return self._slots.taken

    @contextmanager
    def admit(self, address: str) -> Iterator[Transfer]:
        """Hold a slot for a transfer from `address` while the context is open.

        Raises:
            Busy: no slot is free for its address.
        """
        if not self._slots.take(address):
            raise Busy(
                f"{self.running} recordings are on their way already.", retry_after=RETRY_AFTER
            )
        transfer = Transfer(self)
        try:
            yield transfer
        finally:
            self.held -= transfer.held
            self._slots.release(address)


@dataclass(slots=True)
class Transfer:
    """A recording that is arriving."""

    transfers: Transfers
    #: Bytes that have arrived.
    held: int = field(init=False, default=0)

    async def pieces(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the body's pieces as they arrive.

        Raises:
            TooSlow: they arrive too slowly.
            NoSpace: transfers have too much on the disk.
        """
        async for piece in enforce_rate(
            body, MinimumRate(self.transfers.rate, self.transfers.patience)
        ):
            self.check_room(len(piece))
            self.held += len(piece)
            self.transfers.held += len(piece)
            yield piece

    def check_room(self, size: int) -> None:
        """Check that so many more bytes have room on the disk now.

        Raises:
            NoSpace: transfers would have too much on the disk.
        """
        if self.transfers.held + size > self.transfers.max_bytes:
            raise NoSpace("There is no room for the recording now.", retry_after=RETRY_AFTER)
