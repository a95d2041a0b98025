"""Memory of the device: whether it was too little, and how much may be decoded in it at once.

Figures of Whisper large-v3 in float16, with a beam of 5: weights 3.1 GB; for each stretch of
speech that is decoded at once .25 GB of what the decoder keeps about the sound, and up to .37 GB
about what it has written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from speech.transcribers.errors import OutOfMemory

#: As many stretches at once are of use on a GPU; more are hardly faster.
MOST: Final = 16
#: What alignment, other programs and fragments need besides, bytes.
RESERVE: Final = 2 * 10**9
#: After so many recordings without a lack of memory more are tried at once again.
CALM: Final = 8
#: Positions in time that the encoder yields for a stretch; tokens that are written at most, and in
#: how many variants (the beam).
_SOUND: Final = 1500
_TEXT: Final = 448
_BEAM: Final = 5
#: Keys and values, in 16 bits.
_BYTES: Final = 2 * 2
#: A Whisper model's decoder has at most one layer for so much of its width.
_WIDTH_OF_LAYER: Final = 40
#: What the encoder needs for a moment, as a factor.
_ENCODER: Final = 1.25

log = structlog.get_logger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is a lack of memory, whoever raised it.

    CTranslate2 raises a RuntimeError with the words of CUDA or cuBLAS, torch a class of its own on
    a GPU and a RuntimeError on a CPU.
    """
    words = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (
            isinstance(error, RuntimeError)
            and any(
                lack in words
                for lack in ("out of memory", "alloc_failed", "bad_alloc", "can't allocate memory")
            )
        )
    )


def batch_size(free: int | None, width: int) -> int:
    """Return how many stretches of speech to decode at once on a GPU, a power of two.

    Args:
        free: memory of the GPU that is left with the models loaded, bytes; None: not known.
        width: of the model, as its encoder yields it (1280 for large ones).
    """
    if free is None:
        return MOST
    layers = width // _WIDTH_OF_LAYER
    each = layers * width * _BYTES * (_SOUND + _TEXT * _BEAM) * _ENCODER
    room = max(1, int((free - RESERVE) / each)) if each else MOST
    return min(MOST, 1 << (room.bit_length() - 1))


class Batches:
    """Decodes in batches that get smaller when memory runs out, and slowly larger again.

    Args:
        largest: batch, which is the first one.
        device: `cpu` or `cuda`, for the message.
        release: gives back what libraries keep of the device's memory.
    """

    def __init__(self, largest: int, device: str, release: Callable[[], None]) -> None:
        self.size = largest
        self._largest = largest
        self._device = device
        self._release = release
        self._calm = 0

    def decode(
        self, stretches: Any, decode: Callable[[Any], dict[str, list[Any]]]
    ) -> dict[str, list[Any]]:
        """Return what `decode` returns for all stretches, which it gets in parts if need be.

        Raises:
            OutOfMemory: there is not even enough for a single one.
        """
        results: dict[str, list[Any]] = {}
        done = 0
        while done < len(stretches):
            count = min(self.size, len(stretches) - done)
            try:
                part = decode(stretches[done : done + count])
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if count == 1:
                    raise lack(self._device) from error
                self._calm = 0
                while self.size >= count:  # else the next batch would be the same
                    self.size //= 2
                log.warning("out_of_memory", batch_size=self.size)
            else:
                for name, values in part.items():
                    results.setdefault(name, []).extend(values)
                done += count
                continue
            self._release()  # not in the handler, whose traceback holds tensors
        return results

    def finished(self) -> None:
        """Note that a recording is done; after some more are tried at once again."""
        self._calm += 1
        if self._calm >= CALM and self.size < self._largest:
            self._calm = 0
            self.size = min(self._largest, 2 * self.size)


def lack(device: str) -> OutOfMemory:
    """Return the error of too little memory, in words."""
    whose = "GPU's" if device == "cuda" else "machine's"
    return OutOfMemory(
        f"the {whose} memory is not enough, even for one stretch of speech at a time"
    )
