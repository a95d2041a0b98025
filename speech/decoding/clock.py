"""The place of a frame in time: late starts and gaps become silence.

A container gives each frame a time. Usually that is the end of the previous frame. A paused
recorder, lost packets, and a track that begins later than the picture leave gaps. Filling them
keeps the times in a transcript equal to those that a player shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: A smaller delay of a frame is rounding by the container and no gap, seconds.
TOLERANCE: Final = 0.1
#: A longer gap is a clock that was reset, seconds.
LONGEST_GAP: Final = 3600.0
#: A frame that is earlier by more resets the clock, as in joined files; seconds.
STEP_BACK: Final = 1.0


@dataclass(slots=True)
class Clock:
    """The clock of one track of a container.

    Attributes:
        position: the time of the next frame without a gap, in seconds of a player.
    """

    position: float = 0.0
    #: Added to the container's time, it gives `position`.
    _offset: float = 0.0

    def gap(self, time: float | None) -> float:
        """Return the seconds of silence before a frame, and advance `position` by them.

        Args:
            time: the frame's time by the container, seconds from where players begin; None where
                the container gives none.
        """
        if time is None:
            return 0.0
        late = time + self._offset - self.position
        if late < -STEP_BACK or late > LONGEST_GAP:
            self._offset -= late
            return 0.0
        if late <= TOLERANCE:
            return 0.0
        self.position += late
        return late

    def advance(self, seconds: float) -> None:
        """Advance by the length of a frame."""
        self.position += seconds
