"""Streams begin one after another: the service counts starts per second, and refuses the rest.

When it goes down for a moment, all streams of a process lose their sessions together, and all
would open new ones together.
"""

from __future__ import annotations

import asyncio

from speech.engines.transcribe.errors import Throttled

#: Of the 25 a second that AWS lets an account begin, unless it is asked for more: some are left
#: for the account's other processes.
STARTS_PER_SECOND = 20.0


class Starts:
    """Hands out turns, evenly spaced."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._next = 0.0

    async def turn(self, seconds: float) -> None:
        """Wait for a turn. Who gives up while waiting has used it up.

        Raises:
            Throttled: it would come later than in `seconds`; raised at once.
        """
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        if mine - now > seconds:
            raise Throttled("too many streams are waiting to begin")
        self._next = mine + self._interval
        if mine > now:
            await asyncio.sleep(mine - now)
