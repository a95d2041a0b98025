"""The memory of the device: detecting a lack of it, and choosing the size of a batch.

Figures of Whisper large-v3 in float16, with a beam of 5: weights 3.1 GB; for each stretch of
speech in a batch .25 GB of keys and values for the audio, and up to .37 GB for the text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from speech.transcribers.errors import OutOfMemory

#: The largest useful batch on a GPU; larger ones are hardly faster.
MOST: Final = 16
#: Memory for alignment, other programs and fragmentation, bytes.
RESERVE: Final = 2 * 10**9
#: After so many recordings without a lack of memory the batch grows again.
CALM: Final = 8
#: For each stretch: the encoder's positions in time, the most tokens, and their variants (beam).
_SOUND: Final = 1500
_TEXT: Final = 448
_BEAM: Final = 5
#: Keys and values, in 16 bits.
_BYTES: Final = 2 * 2
#: A Whisper model's decoder has at most one layer for so much of its width.
_WIDTH_OF_LAYER: Final = 40
#: The encoder's temporary memory, as a factor.
_ENCODER: Final = 1.25

log = structlog.get_logger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of any library is a lack of memory.

    CTranslate2 raises a RuntimeError with the message of CUDA or cuBLAS, torch a class of its own
    on a GPU and a RuntimeError on a CPU.
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
    """Return the number of stretches of speech in a batch on a GPU, a power of two.

    Args:
        free: free memory of the GPU with the models loaded, bytes; None if unknown.
        width: the width of the model (1280 for large ones).
    """
    if free is None:
        return MOST
    layers = width // _WIDTH_OF_LAYER
    each = layers * width * _BYTES * (_SOUND + _TEXT * _BEAM) * _ENCODER
    room = max(1, int((free - RESERVE) / each)) if each else MOST
    return min(MOST, 1 << (room.bit_length() - 1))


class Batches:
    """Decodes in batches, which shrink when memory runs out and slowly grow again.

    Args:
        largest: the largest size, with which it begins.
        device: `cpu` or `cuda`, for the message.
        release: frees the device's memory that libraries have cached.
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
        """Return the results of `decode` for all stretches, in smaller parts where necessary.

        Raises:
            OutOfMemory: the memory is not enough for a single stretch.
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
                    raise build_out_of_memory(self._device) from error
                self._calm = 0
                while self.size >= count:  # or the next batch would be the same
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
        """Count a finished recording; after `CALM` of them the batch grows."""
        self._calm += 1
        if self._calm >= CALM and self.size < self._largest:
            self._calm = 0
            self.size = min(self._largest, 2 * self.size)


def build_out_of_memory(device: str) -> OutOfMemory:
    """Return the error for a lack of memory on a device."""
    whose = "GPU's" if device == "cuda" else "machine's"
    return OutOfMemory(
        f"the {whose} memory is not enough, even for one stretch of speech at a time"
    )
