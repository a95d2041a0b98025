"""The conversion of Transcribe's times, and the settled audio. Pure: the clock is an argument.

During silence zeros are sent, so that the service keeps the stream. The service's times include
them. The stream's times, those of the written audio, do not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

#: The longest time from speech to its first partial, in seconds (p95 is under 2).
ANSWER_SECONDS = 5.0
#: After this time without any message the audio counts as silence, in seconds. It is much longer
#: than the audio that a frozen service can hide in the buffers of the connection.
MUTE_SECONDS = 60.0


class Timeline:
    """The zeros that were inserted into the stream. Positions are seconds."""

    def __init__(self) -> None:
        self._starts: list[float] = []  # the service's times at which zeros begin, ascending
        self._positions: list[float] = []  # the stream's times of the same
        self._lengths: list[float] = []
        self._before: list[float] = []  # seconds of zeros before each of them
        #: Seconds of zeros so far.
        self.inserted = 0.0

    def insert(self, position: float, seconds: float) -> None:
        """Record zeros after `position` of the stream; positions never decrease."""
        if self._positions and self._positions[-1] == position:
            self._lengths[-1] += seconds
        else:
            self._starts.append(position + self.inserted)
            self._positions.append(position)
            self._lengths.append(seconds)
            self._before.append(self.inserted)
        self.inserted += seconds

    def to_stream_time(self, moment: float) -> float:
        """Convert a time of the service; a time within zeros becomes the position of the zeros."""
        number = bisect_right(self._starts, moment) - 1
        if number < 0:
            return moment
        past = moment - self._starts[number]
        return self._positions[number] + max(0.0, past - self._lengths[number])


class Settling:
    """Finds the position before which all results are final.

    That is the end of the last final. Where no segment is open, it is also the audio that the
    service has had for so long that it would have sent a result. The audio of an open segment is
    not settled.
    """

    def __init__(self, channels: int, *, began: float = 0.0) -> None:
        """Start with the first audio at `began`, by the clock of `record_sent`."""
        self._finals = [0.0] * channels
        self._sent_marks: deque[tuple[float, float]] = deque()  # (clock, position received by then)
        self._arrived = (began, 0.0)  # the last mark
        self._silent = 0.0
        self._last_answer = 0.0
        #: Seconds; grows only.
        self.settled = 0.0

    def record_sent(self, now: float, position: float) -> None:
        """Record that audio up to `position` was sent by `now`. Once a second is enough.

        A replay is sent all at once. The service may take as long as the audio lasts to process
        it, so it counts as received only after that time.
        """
        clock, received = self._arrived
        if position > received:
            self._arrived = (max(now, clock + position - received), position)
            self._sent_marks.append(self._arrived)

    @property
    def arrival(self) -> float:
        """The latest time at which the service has received all sent audio."""
        return self._arrived[0]

    def record_answer(self, now: float) -> None:
        """Record a message of the service, of any kind."""
        self._last_answer = now

    def record_final(self, channel: int, end: float) -> None:
        """Record a final of `channel` that ends at `end`."""
        self._finals[channel] = max(self._finals[channel], end)

    def update(self, now: float, open_since: Iterable[float | None]) -> float:
        """Return the settled position.

        Args:
            now: by the clock of `record_sent`, in seconds.
            open_since: for each channel the start of its open segment, if any.
        """
        until = max(self._last_answer - ANSWER_SECONDS, now - MUTE_SECONDS)
        marks = self._sent_marks
        while marks and marks[0][0] <= until:
            self._silent = marks.popleft()[1]
        silent = self._silent
        settled = min(
            max(final, silent if since is None else min(since, silent))
            for final, since in zip(self._finals, open_since, strict=True)
        )
        self.settled = max(self.settled, settled)
        return self.settled
