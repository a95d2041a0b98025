"""How much is decoded at once, by the memory that there is and by what it turns out to be."""

from __future__ import annotations

from typing import Any

import pytest

from speech.transcribers.errors import OutOfMemory
from speech.transcribers.memory import CALM, Batches, batch_size, is_out_of_memory

pytestmark = pytest.mark.unit

GB = 10**9
LARGE, SMALL = 1280, 768


class OutOfMemoryError(RuntimeError):
    """As torch has it."""


class Gpu:
    """Has room for so many stretches at once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.batches: list[int] = []
        self.released = 0

    def decode(self, stretches: list[int]) -> dict[str, list[Any]]:
        self.batches.append(len(stretches))
        if len(stretches) > self.room:
            raise RuntimeError("CUDA failed with error out of memory")
        return {"text": [str(each) for each in stretches], "score": list(stretches)}

    def release(self) -> None:
        self.released += 1


@pytest.mark.parametrize(
    ("free", "width", "size"),
    [
        (11.5 * GB, LARGE, 8),  # a T4 with large-v3 in it
        (19.5 * GB, LARGE, 16),  # an L4, an A10G
        (4.0 * GB, LARGE, 2),  # a card of 8 GB
        (0.5 * GB, LARGE, 1),
        (11.5 * GB, SMALL, 16),
        (None, LARGE, 16),
    ],
)
def test_a_batch_is_as_large_as_the_gpus_memory_allows(
    free: float | None, width: int, size: int
) -> None:
    assert batch_size(None if free is None else int(free), width) == size


@pytest.mark.parametrize(
    ("error", "lack"),
    [
        (RuntimeError("CUDA failed with error out of memory"), True),
        (RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"), True),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (MemoryError(), True),
        (RuntimeError("CUDA failed with error an illegal memory access was encountered"), False),
        (ValueError("out of memory, they said"), False),
    ],
)
def test_a_lack_of_memory_is_known_by_what_libraries_raise(error: Exception, *, lack: bool) -> None:
    assert is_out_of_memory(error) is lack


@pytest.mark.parametrize("room", [16, 5, 2, 1])
def test_where_memory_runs_out_a_job_goes_on_in_smaller_batches(room: int) -> None:
    gpu = Gpu(room)
    batches = Batches(16, "cuda", gpu.release)
    stretches = list(range(37))

    found = batches.decode(stretches, gpu.decode)

    assert found == {"text": [str(each) for each in stretches], "score": stretches}
    assert batches.size <= room
    assert gpu.released == [1, 2, 4, 8, 16].index(16 // batches.size)
    assert sum(each for each in gpu.batches if each <= room) == 37  # nothing is decoded twice


def test_with_too_little_for_a_single_one_it_fails_in_words() -> None:
    gpu = Gpu(0)

    with pytest.raises(OutOfMemory, match="GPU's memory is not enough"):
        Batches(4, "cuda", gpu.release).decode([1, 2, 3], gpu.decode)

    assert gpu.batches == [3, 2, 1]


@pytest.mark.parametrize(("count", "batches"), [(1, [1]), (3, [3, 2, 1]), (5, [5, 4, 2, 1])])
def test_the_same_batch_is_not_tried_twice(count: int, batches: list[int]) -> None:
    gpu = Gpu(0)

    with pytest.raises(OutOfMemory):
        Batches(16, "cuda", gpu.release).decode(list(range(count)), gpu.decode)

    assert gpu.batches == batches


def test_another_error_is_none_of_its_business() -> None:
    def decode(_stretches: object) -> dict[str, list[Any]]:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        Batches(4, "cuda", lambda: None).decode([1], decode)


def test_batches_grow_again_slowly_and_never_beyond_the_first() -> None:
    gpu = Gpu(1)
    batches = Batches(4, "cuda", gpu.release)
    batches.decode([1, 2, 3, 4], gpu.decode)
    sizes = []
    for _ in range(4 * CALM):
        batches.finished()
        sizes.append(batches.size)

    assert sizes[: CALM - 1] == [1] * (CALM - 1)
    assert sizes[CALM - 1 :: CALM] == [2, 4, 4, 4]
