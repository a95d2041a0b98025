"""A rate limit on starting streams, because the service refuses too many starts per second.

When the service is down for a moment, all streams of a process lose their sessions and open new
ones together. They wait here, however long it takes: the last of n streams starts after n divided
by the rate, in seconds. Meanwhile its speaker's socket is not read once the recognition's backlog
is full.
"""

from __future__ import annotations

import asyncio
import math

from speech.engines.transcribe.errors import Throttled

#: The longest wait of a new stream, whose client can retry. Clients give up after 10 s, and the
#: session still has to be opened.
NEWCOMER_SECONDS = 4.0
#: AWS's default quota is 25 a second for an account; the rest is for its other processes.
STARTS_PER_SECOND = 20.0


class Starts:
    """Admits streams at even intervals, in the order of their requests."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._next = 0.0  # by the loop's clock
        self._first = asyncio.Lock()  # held by the stream that is next
        self._waiting = 0

    async def admit(self, *, seconds: float = math.inf) -> None:
        """Wait until a stream may start. A cancelled wait does not use up an interval.

        Raises:
            Throttled: the wait would exceed `seconds`; raised at once.
        """
        clock = asyncio.get_running_loop().time
        if max(0.0, self._next - clock()) + self._waiting * self._interval > seconds:
            raise Throttled("too many streams are waiting to begin")
        self._waiting += 1
        try:
            async with self._first:
                now = clock()
                mine = max(now, self._next)
                if mine > now:
                    await asyncio.sleep(mine - now)
                self._next = mine + self._interval
        finally:
            self._waiting -= 1
