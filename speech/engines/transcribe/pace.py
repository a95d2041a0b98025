"""Streams begin one after another: the service counts starts per second, and refuses the rest.

When it goes down for a moment, all streams of a process lose their sessions together, and all
would open new ones together. They wait here, and none is given up for it: the last begins after
as many seconds as there are streams of this process, divided by the rate. Meanwhile at most the
recognition's backlog of its audio is kept, for its speaker's socket is not read.
"""

from __future__ import annotations

import asyncio
import math

from speech.engines.transcribe.errors import Throttled

#: A speaker who has not begun can come again, and waits no longer: clients give up after 10 s,
#: and the session has yet to be opened.
NEWCOMER_SECONDS = 4.0
#: Of the 25 a second that AWS lets an account begin, unless it is asked for more: some are left
#: for the account's other processes.
STARTS_PER_SECOND = 20.0


class Starts:
    """Hands out turns, evenly spaced, in the order of asking."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._next = 0.0  # by the loop's clock
        self._first = asyncio.Lock()  # of those who wait, whose turn is next
        self._waiting = 0

    async def admit(self, *, seconds: float = math.inf) -> None:
        """Wait for a turn. Who is cancelled meanwhile has not taken it.

        Raises:
            Throttled: it would come later than in `seconds`; raised at once.
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
