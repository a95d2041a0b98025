"""Transcribe's time and ours, and what of the audio is settled. Pure: the clock is an argument.

In silence zeros are sent so that the service keeps the stream. They are in the service's times
and not in ours, which are those of the audio that was written.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

#: From speech to its first partial never more than this goes by, in seconds (p95 is under 2).
ANSWER_SECONDS = 5.0
#: A service that says nothing at all is believed to hear silence after this, in seconds. Much
#: longer than what a frozen one can hide in the buffers between us and it.
MUTE_SECONDS = 60.0


class Timeline:
    """Where zeros were put in between. Positions are seconds."""

    def __init__(self) -> None:
        self._starts: list[float] = []  # service's time where zeros begin, ascending
        self._positions: list[float] = []  # and ours, which stands still meanwhile
        self._lengths: list[float] = []
        self._before: list[float] = []  # zeros before each of them
        #: Seconds of zeros so far.
        self.inserted = 0.0

    def insert(self, position: float, seconds: float) -> None:
        """Note zeros after `position` of our audio; positions never decrease."""
        if self._positions and self._positions[-1] == position:
            self._lengths[-1] += seconds
        else:
            self._starts.append(position + self.inserted)
            self._positions.append(position)
            self._lengths.append(seconds)
            self._before.append(self.inserted)
        self.inserted += seconds

    def ours(self, moment: float) -> float:
        """Return our time for a moment of the service's; within zeros, where they were put."""
        number = bisect_right(self._starts, moment) - 1
        if number < 0:
            return moment
        past = moment - self._starts[number]
        return self._positions[number] + max(0.0, past - self._lengths[number])


class Settling:
    """Finds the position before which nothing more will be said.

    That is where the last final ends. And where no segment is open: what the service has had for
    so long that it would have said something. A segment that is open keeps its audio.
    """

    def __init__(self, channels: int, *, began: float = 0.0) -> None:
        """Begin with the first audio at `began`, by the clock of `sent`."""
        self._finals = [0.0] * channels
        self._marks: deque[tuple[float, float]] = deque()  # (clock, position heard by then)
        self._arrived = (began, 0.0)  # the last of them
        self._silent = 0.0
        self._heard = 0.0
        #: Seconds; grows only.
        self.settled = 0.0

    def sent(self, now: float, position: float) -> None:
        """Note that audio up to `position` has gone out by `now`. Once a second is enough.

        Audio that is repeated goes out all at once. The service may well take as long to hear it
        as it lasts, so it counts as heard only after that time.
        """
        clock, heard = self._arrived
        if position > heard:
            self._arrived = (max(now, clock + position - heard), position)
            self._marks.append(self._arrived)

    @property
    def arrival(self) -> float:
        """When what has gone out is heard at the latest, by the clock of `sent`."""
        return self._arrived[0]

    def on_answer(self, now: float) -> None:
        """Note a sign of life: whatever the service sends."""
        self._heard = now

    def final(self, channel: int, end: float) -> None:
        """Note that a segment of `channel` is closed up to `end`."""
        self._finals[channel] = max(self._finals[channel], end)

    def update(self, now: float, open_since: Iterable[float | None]) -> float:
        """Return the position that is settled.

        Args:
            now: by the clock of `sent`, in seconds.
            open_since: for each channel where its open segment began, if it has one.
        """
        until = max(self._heard - ANSWER_SECONDS, now - MUTE_SECONDS)
        marks = self._marks
        while marks and marks[0][0] <= until:
            self._silent = marks.popleft()[1]
        silent = self._silent
        said = min(
            max(final, silent if since is None else min(since, silent))
            for final, since in zip(self._finals, open_since, strict=True)
        )
        self.settled = max(self.settled, said)
        return self.settled
