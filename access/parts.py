"""The parts in which a recording is uploaded. Pure.

All parts but the last have `PART_BYTES`. The largest recording has 256 of them, so one request
lists them all (S3's ListParts returns up to 1,000).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: S3 takes 5 MiB to 5 GiB (the last part may be smaller).
PART_BYTES: Final = 8 * 1024**2


def count_parts(size: int) -> int:
    """Return the number of parts of a recording of `size` bytes, 1 or more."""
    return -(-size // PART_BYTES)


def part_bytes(size: int, number: int) -> int:
    """Return the bytes of the part with a number, from 1 on, of a recording of `size` bytes.

    Raises:
        ValueError: there is no such part.
    """
    count = count_parts(size)
    if not 1 <= number <= count:
        raise ValueError(f"parts have the numbers 1 to {count}")
    return PART_BYTES if number < count else size - PART_BYTES * (count - 1)


def find_wrong_parts(size: int, stored: Mapping[int, int]) -> list[int]:
    """Return the numbers of the parts that are not there in exactly their size.

    Args:
        size: of the recording, bytes.
        stored: the size of each part that is there, by its number.
    """
    return [
        number
        for number in range(1, count_parts(size) + 1)
        if stored.get(number) != part_bytes(size, number)
    ]
