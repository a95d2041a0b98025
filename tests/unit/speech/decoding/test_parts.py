from __future__ import annotations

import io
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.decoding.parts import FORMATS, PADDING_BYTES, Part, find_parts
from tests.fuzz.files import mutated

pytestmark = pytest.mark.unit

#: Samples of noise: they look like no chunk.
AUDIO = bytes(range(255, 0, -1)) * 80


def wav(audio: bytes = AUDIO, *, announced: int | None = None, after: bytes = b"") -> bytes:
    """Return a WAV file whose header announces `announced` bytes of audio."""
    data = (
        struct.pack("<4sI", b"data", len(audio) if announced is None else announced) + audio + after
    )
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", len(fmt) + len(data) + 4, b"WAVE") + fmt + data


def found(file: bytes) -> list[Part]:
    return find_parts(io.BytesIO(file), len(file))


def test_one_recording_is_one_part() -> None:
    note = struct.pack("<4sI4s", b"note", 4, b"\xff\xfe\xfd\xfc")

    for file in (wav(), wav(after=note), wav(after=b"\0" * 9_999), wav(after=b"TAG" + AUDIO[:125])):
        assert found(file) == [Part(0, len(file))]


def test_joined_recordings_are_parts() -> None:
    first, second = wav(), wav(after=struct.pack("<4sI", b"note", 0))

    assert found(first + second + first) == [
        Part(0, len(first)),
        Part(len(first), len(first + second)),
        Part(len(first + second), len(first + second + first)),
    ]


def test_a_header_that_was_not_brought_up_to_date_is_seen() -> None:
    stale = wav(announced=1_000)

    assert found(stale) == [Part(0, len(stale), outgrown=True)]
    assert found(stale + wav()) == [
        Part(0, len(stale), outgrown=True),
        Part(len(stale), len(stale + wav())),
    ]


@pytest.mark.parametrize("announced", [0, 0xFFFFFFFF, 10 * len(AUDIO)])
def test_a_length_that_was_never_written_means_all_the_rest(announced: int) -> None:
    file = wav(announced=announced)

    assert found(file) == [Part(0, len(file))]


@pytest.mark.parametrize("file", [b"", b"RIFF", b"ID3" + AUDIO, AUDIO, b"RIFF\0\0\0\0AVI "])
def test_what_has_no_known_chunks_is_one_part(file: bytes) -> None:
    assert found(file) == [Part(0, len(file))]


@given(st.integers(0, 3), st.lists(st.binary(max_size=64), max_size=4), st.integers(0, 200))
def test_parts_cover_the_file_whatever_is_in_it(joins: int, junk: list[bytes], cut: int) -> None:
    file = b"".join(wav(AUDIO[:200]) + each * 100 for each in [*junk, b""] * (joins + 1))
    file = file[: len(file) - cut]

    covered = found(file)

    assert [each.start for each in covered[1:]] == [each.end for each in covered[:-1]]
    assert (covered[0].start, covered[-1].end) == (0, len(file))
    assert all(each.start < each.end for each in covered)


@given(st.integers(0, 5_000))
def test_parts_of_broken_files_cover_them(number: int) -> None:
    file = mutated(number)

    covered = found(file)

    assert covered[0].start == 0
    assert covered[-1].end == len(file)
    assert all(one.end == other.start for one, other in pairwise(covered))


def test_every_format_is_distinguished_from_the_others() -> None:
    heads = [
        b"\0" * each.magic_at + each.magic + b"\0" * 4 + each.kind + b"\0" * 16 for each in FORMATS
    ]

    for number, head in enumerate(heads):
        assert [n for n, each in enumerate(FORMATS) if each.begins(head[:16])] == [number]
    assert PADDING_BYTES > 128  # an ID3v1 tag is no lost audio
