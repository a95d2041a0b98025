"""Raw audio as it arrives: PCM, signed 16 bit little endian, channels interleaved.

PcmError
├── InvalidFormat   a sample rate or a number of channels that is not positive
├── EmptyAudio      no bytes at all
├── OddAudio        not a whole number of frames
└── AudioTooLong    more seconds than the receiver allows
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: The input of engines and transcribers: 16 kHz, signed 16 bit little endian.
SAMPLE_RATE = 16_000
BYTES_PER_SAMPLE = 2
#: Of one channel.
BYTES_PER_SECOND = SAMPLE_RATE * BYTES_PER_SAMPLE


class PcmError(ValueError):
    """The bytes are not PCM of the announced format."""


class InvalidFormat(PcmError):
    """A sample rate or a number of channels that is not positive."""


class EmptyAudio(PcmError):
    """A piece of audio holds no bytes."""


class OddAudio(PcmError):
    """A piece of audio ends in the middle of a frame."""


class AudioTooLong(PcmError):
    """A piece of audio holds more seconds than the receiver allows."""


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """Sample rate in Hz and number of interleaved s16le channels.

    Raises:
        InvalidFormat: either is not positive.
    """

    sample_rate: int
    channels: int = 1
    #: A frame is one sample of each channel.
    bytes_per_frame: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.sample_rate <= 0:
            raise InvalidFormat(f"a sample rate of {self.sample_rate} Hz")
        if self.channels <= 0:
            raise InvalidFormat(f"{self.channels} channels")
        object.__setattr__(self, "bytes_per_frame", BYTES_PER_SAMPLE * self.channels)

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of audio."""
        return self.sample_rate * self.bytes_per_frame

    def seconds(self, nbytes: int) -> float:
        """Return the duration of `nbytes` of this audio."""
        return nbytes / (self.sample_rate * self.bytes_per_frame)

    def check(self, pcm: bytes, *, max_seconds: float | None = None) -> None:
        """Check that a piece of audio has at least one whole frame and at most `max_seconds`.

        Raises:
            EmptyAudio: it holds no bytes.
            OddAudio: it is not a whole number of frames.
            AudioTooLong: it is longer than `max_seconds`.
        """
        size = len(pcm)
        if not size:
            raise EmptyAudio("no audio in the message")
        if size % self.bytes_per_frame:
            raise OddAudio(
                f"{size} bytes are not a whole number of frames of {self.bytes_per_frame} bytes"
            )
        if max_seconds is not None and size > max_seconds * self.sample_rate * self.bytes_per_frame:
            raise AudioTooLong(
                f"{self.seconds(size):.3f} seconds of audio, {max_seconds:g} are allowed"
            )
