"""Takes audio from its source, whether there is a connection or not, and keeps it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from enum import Enum, auto
from typing import Final

from client.live.kept_audio import KeptAudio
from client.live.pacing import Schedule
from speech.pcm import PcmFormat
from transcripts.protocol import KEEP_SECONDS

#: A file that is sent as fast as possible is read so far ahead of what is sent, seconds.
READ_AHEAD_SECONDS: Final = 2.0
#: The longest pause that can be announced, seconds.
LONGEST_PAUSE: Final = 86_400.0
#: Pauses that are remembered, as many as the service does.
_MOST_PAUSES: Final = 500


class Pace(Enum):
    """How fast audio is taken from its source."""

    #: A file, as fast as the service reads.
    FAST = auto()
    #: A file at the speed of speech; it waits where there is no room.
    REAL_TIME = auto()
    #: A microphone, which keeps its own time; what finds no room is lost.
    LIVE = auto()

    @property
    def is_slow(self) -> bool:
        """Whether the audio comes at the speed of speech."""
        return self is not Pace.FAST


class Recording:
    """The audio of a source, kept from its first sample on until it is released."""

    def __init__(self, frames: AsyncGenerator[bytes, None], audio: PcmFormat, pace: Pace) -> None:
        self.kept = KeptAudio(audio)
        self.pace = pace
        #: What ended the source too early.
        self.failure: Exception | None = None
        self._frames = frames
        self._audio = audio
        self._pauses: deque[tuple[int, float]] = deque(maxlen=_MOST_PAUSES)
        self._taken = 0  # the sample after the last one that was read
        self._recorded_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._is_over = False
        self._grown, self._freed = asyncio.Event(), asyncio.Event()

    @property
    def has_begun(self) -> bool:
        """Whether the source was opened."""
        return self._task is not None

    def begin(self) -> None:
        """Take audio from now on, if that was not begun before."""
        if self._task is None:
            self._task = asyncio.create_task(self._record())

    def end(self) -> None:
        """Take no more."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Take no more, and wait until the source is closed."""
        self.end()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def note_pause(self, seconds: float) -> None:
        """Note that nothing was recorded for so long before the next frame."""
        self._pauses.append((self.kept.end, min(seconds, LONGEST_PAUSE)))

    def pauses(self, begin: int, end: int) -> Iterator[tuple[int, float]]:
        """Yield the pauses from a sample up to another: the sample after each, and its length."""
        yield from [(at, seconds) for at, seconds in self._pauses if begin <= at < end]

    def age(self, sample: int) -> float:
        """Return how many seconds ago a sample was recorded; 0 if it comes from a file at speed."""
        if not self.pace.is_slow or not self.kept.end:
            return 0.0
        since = asyncio.get_running_loop().time() - self._recorded_at
        paused = sum(seconds for at, seconds in self._pauses if at > sample)
        recorded = max(0, self.kept.end - sample) / self._audio.sample_rate
        return min(KEEP_SECONDS, max(0.0, since) + recorded + paused)

    async def read(self, sample: int, most: int) -> bytes:
        """Wait for audio from `sample` on, and return at most `most` samples; none at the end."""
        while True:
            self._taken = sample
            self._freed.set()
            if pcm := self.kept.read(sample, most):
                return pcm
            if self._is_over:
                return b""
            self._grown.clear()
            await self._grown.wait()

    def release(self, sample: int) -> None:
        """Forget what comes before a sample."""
        self.kept.release(sample)
        self._freed.set()

    def begin_again(self) -> int:
        """Count from the first kept sample on; return by how much all samples have moved."""
        moved = self.kept.begin_again()
        pauses = [(at - moved, seconds) for at, seconds in self._pauses if at > moved]
        self._pauses = deque(pauses, maxlen=_MOST_PAUSES)
        self._taken = 0
        return moved

    async def _record(self) -> None:
        clock = asyncio.get_running_loop().time
        schedule = Schedule(clock(), self._audio)
        taken = 0
        try:
            async with contextlib.aclosing(self._frames) as frames:
                async for frame in frames:
                    taken += len(frame)
                    if self.pace is Pace.REAL_TIME and (delay := schedule.wait(taken, clock())):
                        await asyncio.sleep(delay)
                    if self.pace is not Pace.LIVE:
                        await self._wait_for_room(len(frame) // self._audio.bytes_per_frame)
                    self.kept.append(frame)
                    self._recorded_at = clock()
                    self._grown.set()
        except Exception as error:  # noqa: BLE001 - it is raised when what was read is recognised
            self.failure = error
        finally:
            self._is_over = True
            self._grown.set()

    async def _wait_for_room(self, samples: int) -> None:
        ahead = round(READ_AHEAD_SECONDS * self._audio.sample_rate)
        while self.kept.room < samples or (
            self.pace is Pace.FAST and self.kept.end - self._taken >= ahead
        ):
            self._freed.clear()
            await self._freed.wait()
