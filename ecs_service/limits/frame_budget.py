"""Limits the rate of small frames from one client, so that a flood delays no other client.

A frame costs the service the same whether it has a second of audio or two bytes. Large frames need
no limit: a read of the socket has few of them, and the engine limits how much audio is accepted.
Small ones are counted. A client that has sent too many is not read for a moment, which it feels as
back-pressure: nothing is lost, and a speaker who catches up after a cut is only slowed down.
"""

from __future__ import annotations

from transcripts.protocol import CONTROL_FRAMES_PER_SECOND, SMALL_FRAMES_PER_SECOND

#: The largest budget: five seconds of a browser's smallest audio chunks, after a stall.
BURST = 2000
#: The cost of a ping, or of an unsolicited pong, in frames.
CONTROL_COST = SMALL_FRAMES_PER_SECOND // CONTROL_FRAMES_PER_SECOND


class FrameBudget:
    """The number of frames that one client may send; `now` is a monotonic clock's, in seconds.

    The budget is refilled only when it is used up, so that the clock is not read for each frame.
    The price is that up to twice `BURST` frames may come at once.
    """

    __slots__ = ("_since", "left")

    def __init__(self, now: float) -> None:
        #: Frames that may come before the next `refill`; negative if overdrawn.
        self.left = BURST
        self._since = now

    def refill(self, now: float) -> float:
        """Add the frames since the last refill; return in how many seconds `left` reaches 0."""
        earned = int((now - self._since) * SMALL_FRAMES_PER_SECOND)
        self._since += earned / SMALL_FRAMES_PER_SECOND
        self.left = min(BURST, self.left + earned)
        return max(0.0, -self.left / SMALL_FRAMES_PER_SECOND)
