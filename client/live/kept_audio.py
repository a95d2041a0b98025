"""Keeps a stream's audio until the service does not need it any more. Pure."""

from __future__ import annotations

from speech.pcm import PcmFormat
from transcripts.protocol import KEEP_SECONDS


class KeptAudio:
    """The audio of a stream from `first` to `end`, which are samples counted from its first one.

    A sample is a moment of all channels. At most `most` samples are kept.
    """

    def __init__(self, audio: PcmFormat, *, seconds: float = KEEP_SECONDS) -> None:
        self.format = audio
        self.most = round(seconds * audio.sample_rate)
        self.first = 0
        #: Samples that were dropped because there was no room, over the whole stream.
        self.lost = 0
        self._pcm = bytearray()

    @property
    def end(self) -> int:
        """The sample after the last one."""
        return self.first + len(self._pcm) // self.format.bytes_per_frame

    @property
    def seconds(self) -> float:
        """How much audio is kept, in seconds."""
        return self.format.seconds(len(self._pcm))

    @property
    def room(self) -> int:
        """How many samples can be appended without a loss."""
        return self.most - (self.end - self.first)

    def append(self, pcm: bytes) -> int:
        """Append whole samples; return how many of the oldest were dropped to make room."""
        self._pcm += pcm
        surplus = max(0, -self.room)
        self._drop(surplus)
        self.lost += surplus
        return surplus

    def release(self, sample: int) -> None:
        """Forget what comes before `sample`; one that was passed before, or never came, is fine."""
        self._drop(min(sample, self.end) - self.first)

    def read(self, sample: int, most: int) -> bytes:
        """Return at most `most` samples from `sample` on, which is not before `first`."""
        width = self.format.bytes_per_frame
        begin = (sample - self.first) * width
        if begin < 0:
            raise IndexError(f"sample {sample} is not kept any more")
        return bytes(self._pcm[begin : begin + most * width])

    def cut_after(self, sample: int) -> None:
        """Forget what comes from `sample` on."""
        del self._pcm[max(0, sample - self.first) * self.format.bytes_per_frame :]

    def begin_again(self) -> int:
        """Count from the first kept sample on, as the first one of another stream.

        Returns by how much all numbers of samples have become smaller.
        """
        moved, self.first = self.first, 0
        return moved

    def _drop(self, samples: int) -> None:
        if samples > 0:
            del self._pcm[: samples * self.format.bytes_per_frame]
            self.first += samples
