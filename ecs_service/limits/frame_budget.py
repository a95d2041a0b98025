"""How many small frames a client may send, so that nobody's flood delays anybody else.

A frame costs the service the same whether it holds a second of audio or two bytes. Of large ones a
read of the socket holds few, and the engine bounds how much audio is taken; small ones are counted.
Who has sent too many is not read for a moment and feels it as back-pressure: nothing is lost, and
a speaker who catches up after a cut is only slowed down.
"""

from __future__ import annotations

from transcripts.protocol import CONTROL_FRAMES_PER_SECOND, SMALL_FRAMES_PER_SECOND

#: What a client may have saved: five seconds of a browser's smallest pieces, after a stall.
BURST = 2000
#: What a ping, or a pong that nobody asked for, costs.
CONTROL_COST = SMALL_FRAMES_PER_SECOND // CONTROL_FRAMES_PER_SECOND


class FrameBudget:
    """The frames that one client may still send; takes times of a monotonic clock, in seconds.

    Nothing is earned before all is spent, which keeps the clock out of the way; the price is that
    up to twice `BURST` may come at once.
    """

    __slots__ = ("_since", "left")

    def __init__(self, now: float) -> None:
        #: Frames that may come before the next `refill`; below zero, what they overdrew.
        self.left = BURST
        self._since = now

    def refill(self, now: float) -> float:
        """Add what was earned since the last time; return after how many seconds `left` is 0."""
        earned = int((now - self._since) * SMALL_FRAMES_PER_SECOND)
        self._since += earned / SMALL_FRAMES_PER_SECOND
        self.left = min(BURST, self.left + earned)
        return max(0.0, -self.left / SMALL_FRAMES_PER_SECOND)
