"""The audio to replay to a new session after a failure. Pure.

Where channels are recognised separately, one may be in the middle of a segment while the other has
further finals. The buffer keeps audio for the channel that is furthest behind. In the replay, audio
that is in a final already is silence, because it would be recognised twice. That also holds for a
single channel whose session died before it settled a final.

Before that audio, the replay has a `lead_in`: settled audio, unchanged, to which an engine adapts.

Positions are frames from the start of the stream; a frame is a sample of each channel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator


class ReplayBuffer:
    """The audio of a stream from `start` on, and up to `max_lead_in` frames before it."""

    def __init__(
        self,
        *,
        channels: int,
        bytes_per_sample: int,
        max_lead_in: int = 0,
        start: int = 0,
        first: int = 0,
        settled: tuple[int, ...] | None = None,
    ) -> None:
        """Make a buffer for the audio from frame `first` on, of which that before `start` leads in.

        `settled` has for each channel the position before which its audio is in finals already.
        """
        self._bytes_per_sample = bytes_per_sample
        self._bytes_per_frame = bytes_per_sample * channels
        self._pieces: deque[bytes] = deque()
        self._settled = list(settled or [0] * channels)
        self._max_lead_in = max_lead_in
        self._dropped: deque[bytes] = deque()  # the latest audio before `start`
        self._dropped_frames = 0
        self._end = first
        #: Position of the first frame that is not dropped.
        self.start = start

    @property
    def lead_in(self) -> int:
        """The frames before `start` with which the replay begins, as far as they were appended."""
        return min(self._dropped_frames, self._max_lead_in)

    @property
    def missing(self) -> int:
        """The frames before `start` that are still to be appended."""
        return max(0, self.start - self._end)

    @property
    def settled(self) -> tuple[int, ...]:
        """For each channel, the position before which its audio is in finals."""
        return tuple(self._settled)

    def append(self, pcm: bytes) -> bytes:
        """Append whole frames; return them as a session gets them, with silence for the settled."""
        ahead = min(self.missing * self._bytes_per_frame, len(pcm))
        if ahead:
            self._keep_lead_in(pcm[:ahead])
        rest = pcm[ahead:] if ahead else pcm
        if rest:
            self._pieces.append(rest)
            rest = self._silence_settled(rest, self._end + ahead // self._bytes_per_frame)
        self._end += len(pcm) // self._bytes_per_frame
        return pcm[:ahead] + rest if ahead else rest

    def settle(self, channel: int, position: int) -> None:
        """Record that the audio of `channel` before `position` is in finals."""
        self._settled[channel] = max(self._settled[channel], position)

    def drop(self, position: int) -> bool:
        """Drop the audio before `position`; return whether there was any."""
        before = self.start
        while self._pieces and self.start < position:
            pcm = self._pieces[0]
            size = min((position - self.start) * self._bytes_per_frame, len(pcm))
            if size == len(pcm):
                self._pieces.popleft()
            else:
                self._pieces[0] = pcm[size:]
            self.start += size // self._bytes_per_frame
            self._keep_lead_in(pcm[:size])
        return self.start > before

    def _keep_lead_in(self, pcm: bytes) -> None:
        self._dropped.append(pcm)
        self._dropped_frames += len(pcm) // self._bytes_per_frame
        while self._dropped:
            frames = len(self._dropped[0]) // self._bytes_per_frame
            if self._dropped_frames - frames < self._max_lead_in:
                break
            self._dropped.popleft()
            self._dropped_frames -= frames

    def replay(self) -> Iterator[bytes]:
        """Yield the lead-in, then the current audio with silence for what is in finals."""
        if self.lead_in:
            yield b"".join(self._dropped)[-self.lead_in * self._bytes_per_frame :]
        at = self.start
        for pcm in tuple(self._pieces):
            yield self._silence_settled(pcm, at)
            at += len(pcm) // self._bytes_per_frame

    def _silence_settled(self, pcm: bytes, at: int) -> bytes:
        if max(self._settled) <= at:
            return pcm
        kept = bytearray(pcm)
        for channel, position in enumerate(self._settled):
            frames = min(max(0, position - at), len(pcm) // self._bytes_per_frame)
            stop = frames * self._bytes_per_frame
            for number in range(self._bytes_per_sample):
                first = channel * self._bytes_per_sample + number
                kept[first : stop : self._bytes_per_frame] = bytes(frames)
        return bytes(kept)
