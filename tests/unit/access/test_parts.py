from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.parts import PART_BYTES, count_parts, find_wrong_parts, part_bytes
from access.records import MOST_RECORDING_BYTES
from gpu_server.settings import Settings
from infra.config import gpu_settings

pytestmark = pytest.mark.unit

sizes = st.integers(1, MOST_RECORDING_BYTES)
#: What S3 takes (user guide, "Multipart upload limits"), and lists in one answer.
LEAST_PART, MOST_LISTED = 5 * 1024**2, 1_000


def parts_of(size: int) -> dict[int, int]:
    return {number: part_bytes(size, number) for number in range(1, count_parts(size) + 1)}


@given(sizes)
def test_the_parts_are_the_recording(size: int) -> None:
    parts = parts_of(size)

    assert sum(parts.values()) == size
    assert all(0 < each <= PART_BYTES for each in parts.values())
    assert all(parts[number] == PART_BYTES for number in list(parts)[:-1])
    assert len(parts) <= MOST_LISTED
    assert PART_BYTES >= LEAST_PART
    assert find_wrong_parts(size, parts) == []


@given(sizes, st.data())
def test_one_wrong_part_is_found(size: int, data: st.DataObject) -> None:
    parts = parts_of(size)
    number = data.draw(st.sampled_from(list(parts)))
    wrong = data.draw(st.integers(0, 2 * PART_BYTES).filter(lambda it: it != parts[number]))

    assert find_wrong_parts(size, parts | {number: wrong}) == [number]
    del parts[number]
    assert find_wrong_parts(size, parts) == [number]


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_there_are_no_other_parts(number: int) -> None:
    with pytest.raises(ValueError, match="1 to 2"):
        part_bytes(PART_BYTES + 1, number)


def test_the_largest_recording_is_what_the_server_takes() -> None:
    assert Settings.model_fields["max_upload_bytes"].default == MOST_RECORDING_BYTES
    assert gpu_settings._MAX_UPLOAD_BYTES == MOST_RECORDING_BYTES
