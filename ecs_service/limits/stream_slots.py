"""Limits concurrent streams to the number of recognition slots."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from ecs_service import telemetry
from ecs_service.refusal import Refusal
from transcripts.protocol import ErrorCode

#: The assumed length of a stream until one has ended, in seconds.
TYPICAL_STREAM_SECONDS = 60.0
SHORTEST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0
#: The number of ended streams whose mean length is the estimate.
REMEMBERED_STREAMS = 32


class StreamSlots:
    """The slots for streams. Once `is_draining` is set, none is given any more."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.taken = 0
        self.is_draining = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._durations: deque[float] = deque(maxlen=REMEMBERED_STREAMS)

    @property
    def is_full(self) -> bool:
        """Whether the next stream would be refused."""
        return self.taken >= self.capacity

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold a slot while the context is open.

        Raises:
            Refusal: `at_capacity`, with the time after which to try again, or `draining`.
        """
        if self.is_draining:
            raise Refusal(ErrorCode.DRAINING, "The service is shutting down.", retry_after=1.0)
        if self.is_full:
            raise Refusal(
                ErrorCode.AT_CAPACITY,
                f"All {self.capacity} recognition slots are taken.",
                retry_after=self.retry_after(),
            )
        self.taken += 1
        self._empty.clear()
        telemetry.open_streams.set(self.taken)
        began = monotonic()
        try:
            yield
        finally:
            self.taken -= 1
            telemetry.open_streams.set(self.taken)
            if not self.taken:
                self._empty.set()
            self._durations.append(monotonic() - began)

    async def wait_until_empty(self) -> None:
        """Wait until no stream holds a slot."""
        await self._empty.wait()

    def retry_after(self) -> float:
        """Return after how many seconds a slot is likely to be free.

        Of n streams of mean length d that end independently, one ends every d / n seconds.
        """
        lengths = self._durations or (TYPICAL_STREAM_SECONDS,)
        expected = sum(lengths) / len(lengths) / self.capacity
        return round(min(LONGEST_RETRY_SECONDS, max(SHORTEST_RETRY_SECONDS, expected)), 1)
