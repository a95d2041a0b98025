from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from client.errors import UsageError
from client.recordings.chunks import (
    announced_chunks,
    chunk_keys,
    chunk_number,
    describe_session,
    format_spans,
    natural_order,
)
from transcripts.documents import MAX_CHUNKS, SessionMetadata
from transcripts.recordings.keys import Session, recording

pytestmark = pytest.mark.unit

SESSION = Session(user_id="ann", session_id="monday")
FOLDER = "users/ann/audio/sessions/monday/"


def chunks(*names: str) -> list[tuple[str, str]]:
    return [(name, key.removeprefix(FOLDER)) for name, key in chunk_keys(SESSION, names)]


def test_files_become_chunks_in_the_order_that_people_see() -> None:
    assert chunks("part 10.mp3", "Part 2.wav", "part 1.MP3") == [
        ("part 1.MP3", "chunk-001.MP3"),
        ("Part 2.wav", "chunk-002.wav"),
        ("part 10.mp3", "chunk-003.mp3"),
    ]


def test_chunks_keep_their_names_and_numbers() -> None:
    assert chunks("chunk-10.webm", "chunk-2.webm") == [
        ("chunk-2.webm", "chunk-2.webm"),
        ("chunk-10.webm", "chunk-10.webm"),
    ]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ((), "the folder 0"),
        (("chunk-1.webm", "notes.txt"), "notes.txt is not named like chunk-1.webm"),
        (("chunk-1.webm", "chunk-001.webm"), "are both chunk 1"),
        (("recording",), "recording: a chunk's name needs a suffix"),
    ],
)
def test_what_would_spoil_a_session_is_named(names: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(complaint)):
        chunks(*names)


FREE_NAMES = st.text(min_size=1, max_size=12).filter(lambda name: not name.startswith("chunk-"))


@given(st.lists(FREE_NAMES, min_size=1, max_size=1_100, unique=True))
def test_any_files_become_numbered_recordings_that_sort_as_they_are_numbered(
    names: list[str],
) -> None:
    keys = [key for _, key in chunk_keys(SESSION, [f"{name}.webm" for name in names])]

    assert [chunk_number(key) for key in keys] == list(range(1, len(names) + 1))
    assert keys == sorted(keys)
    for key in keys:
        recording(key)


@given(st.lists(st.text(max_size=12), max_size=9).flatmap(st.permutations))
def test_the_order_of_names_is_their_own(names: list[str]) -> None:
    assert sorted(names, key=natural_order) == sorted(sorted(names), key=natural_order)


_numbers = st.frozensets(st.integers(0, 400), min_size=1, max_size=20)
# By the fields' aliases: `builds` would draw those of its own beside values by their names.
_metadata = st.builds(
    SessionMetadata,
    chunkCount=st.integers(1, 400) | st.just(MAX_CHUNKS),
    firstChunk=st.sampled_from([None, 0, 1]),
)


@given(_numbers, st.none() | _metadata)
@example(frozenset({0}), SessionMetadata(chunk_count=MAX_CHUNKS, first_chunk=1))
def test_what_was_announced_is_never_taken_back(
    numbers: frozenset[int], known: SessionMetadata | None
) -> None:
    announced = announced_chunks(known, numbers) if known else range(max(numbers), max(numbers) + 1)
    first, last = min(1, *numbers, announced[0]), max(*numbers, announced[-1])
    if last - first + 1 > MAX_CHUNKS:
        with pytest.raises(UsageError, match=f"chunk {last}"):
            describe_session(numbers, known)
        return

    assert announced_chunks(describe_session(numbers, known), numbers) == range(first, last + 1)


def test_numbers_beyond_what_a_session_has_are_a_mistake() -> None:
    with pytest.raises(UsageError, match="chunk 999999999"):
        describe_session({1, 999_999_999}, None)


def test_numbers_are_printed_as_spans() -> None:
    assert format_spans([7, 3, 8, 9, 11]) == "3, 7 to 9, 11"
