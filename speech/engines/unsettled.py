"""The audio that an engine would hear again, after a failure. Pure.

Where channels are recognised by themselves, one may be in the middle of a segment while on the
other finals went by. Audio is kept for the one that is furthest behind; what was said on the
other is silence when it is heard again, for it would be said twice. So is what was said on a
single channel, if a session died before it settled that.

Positions are frames from the start of the stream; a frame is a sample of each channel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator


class Unsettled:
    """Keeps the audio from `start` on."""

    def __init__(self, *, channels: int, bytes_per_sample: int) -> None:
        self._bytes_per_sample = bytes_per_sample
        self._bytes_per_frame = bytes_per_sample * channels
        self._pieces: deque[bytes] = deque()
        self._said = [0] * channels
        #: Position of the first frame.
        self.start = 0

    def append(self, pcm: bytes) -> None:
        """Keep what comes next, whole frames."""
        self._pieces.append(pcm)

    def said(self, channel: int, position: int) -> None:
        """Note that nothing more will be said of `channel` before `position`."""
        self._said[channel] = max(self._said[channel], position)

    def forget(self, position: int) -> bool:
        """Drop the audio before `position`, to the frame; return whether there was any."""
        before = self.start
        while self._pieces and self.start < position:
            pcm = self._pieces[0]
            size = min((position - self.start) * self._bytes_per_frame, len(pcm))
            if size == len(pcm):
                self._pieces.popleft()
            else:
                self._pieces[0] = pcm[size:]
            self.start += size // self._bytes_per_frame
        return self.start > before

    def again(self) -> Iterator[bytes]:
        """Yield what is kept now, piece by piece, with silence where all was said."""
        at = self.start
        for pcm in tuple(self._pieces):
            yield self._without_said(pcm, at)
            at += len(pcm) // self._bytes_per_frame

    def _without_said(self, pcm: bytes, at: int) -> bytes:
        if max(self._said) <= at:
            return pcm
        kept = bytearray(pcm)
        for channel, position in enumerate(self._said):
            frames = min(max(0, position - at), len(pcm) // self._bytes_per_frame)
            stop = frames * self._bytes_per_frame
            for number in range(self._bytes_per_sample):
                first = channel * self._bytes_per_sample + number
                kept[first : stop : self._bytes_per_frame] = bytes(frames)
        return bytes(kept)
