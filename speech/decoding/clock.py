"""Where a frame lies in time: late starts and gaps become silence.

A container says when each frame is to be played. Usually that is where the one before it ends. A
recorder that was paused, packets that were lost, and a track that begins later than the picture
leave gaps; these are filled, so that times in a transcript are those that a player shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: A frame that is later by less lies where the one before it ends, seconds: containers round.
TOLERANCE: Final = 0.1
#: A longer gap is no gap but a clock that was set anew, seconds.
LONGEST_GAP: Final = 3600.0
#: A frame that is earlier by more begins a clock anew, seconds, as in joined files.
STEP_BACK: Final = 1.0


@dataclass(slots=True)
class Clock:
    """Follows one track of a container.

    Attributes:
        position: where the next frame would lie without a gap, seconds of what a player plays.
    """

    position: float = 0.0
    #: What is added to the container's clock to give `position`.
    _offset: float = 0.0

    def gap(self, time: float | None) -> float:
        """Return how much silence precedes a frame, seconds; `position` goes on by as much.

        Args:
            time: of the frame by the container's clock, seconds from where players begin; None
                where it says nothing.
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
        """Go on by the length of a frame."""
        self.position += seconds
