"""Assign the files of a folder to the chunks of a session, and describe the session. Pure.

Files that are named `chunk-7.webm` keep their names and numbers. Others become `chunk-001`,
`chunk-002`, ... in the natural order of their names (`part 2` before `part 10`), with their
suffixes. A folder has files of one kind only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Final

from client.errors import UsageError
from transcripts.documents import MAX_CHUNKS, SessionMetadata
from transcripts.recordings.keys import Session, UnknownKey, recording

#: Chunks are numbered with at least so many digits, so that listings sort them.
_DIGITS: Final = 3
_NAMED: Final = re.compile(r"chunk-\d{1,9}\.[A-Za-z0-9]{1,10}", re.ASCII)
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")


def chunk_keys(session: Session, names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the names of files in the order of their chunks, each with the chunk's key.

    Raises:
        UsageError: there are none, too many, or they cannot be chunks; the message says which.
    """
    ordered = sorted(names, key=natural_order)
    if not 1 <= len(ordered) <= MAX_CHUNKS:
        raise UsageError(
            f"A session has 1 to {MAX_CHUNKS:,} chunks, and the folder {len(ordered):,}"
        )
    named = [name for name in ordered if _NAMED.fullmatch(name)]
    others = [name for name in ordered if not _NAMED.fullmatch(name)]
    if named and others:
        raise UsageError(
            f"{others[0]} is not named like {named[0]} beside it, so its place in the session is "
            "not known: rename it, or move it elsewhere"
        )
    keys = [(name, key_in(session, name)) for name in named] or _numbered(session, others)
    keys.sort(key=lambda pair: chunk_number(pair[1]))
    for (name, key), (other, next_key) in pairwise(keys):
        if chunk_number(key) == chunk_number(next_key):
            raise UsageError(f"{name} and {other} are both chunk {chunk_number(key)}")
    return keys


def _numbered(session: Session, names: Sequence[str]) -> list[tuple[str, str]]:
    digits = max(_DIGITS, len(str(len(names))))
    keys = []
    for place, name in enumerate(names, 1):
        suffix = _SUFFIX.search(name)
        if suffix is None:
            raise UsageError(f"{name}: a chunk's name needs a suffix such as .webm or .mp3")
        keys.append((name, key_in(session, f"chunk-{place:0{digits}}{suffix[0]}")))
    return keys


def key_in(session: Session, name: str) -> str:
    """Return the key of a chunk by its name with its suffix.

    Raises:
        UsageError: the key would be invalid, for example too long.
    """
    key = f"{session.chunks_prefix.removesuffix('chunk-')}{name}"
    try:
        recording(key)
    except UnknownKey as error:
        raise UsageError(f"{name} cannot be a chunk of the session: {error}") from error
    return key


def chunk_number(key: str) -> int:
    """Return the number of the chunk whose audio has this key."""
    return int(key.rpartition("/chunk-")[2].partition(".")[0])


def natural_order(name: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """Return a sort key for names as people sort them: numbers by value, letters of any case."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts), name


def describe_session(numbers: Collection[int], known: SessionMetadata | None) -> SessionMetadata:
    """Return the metadata of a session with these chunks; `known` is the present one.

    Chunks that were announced before stay announced, because they may still be uploaded.

    Raises:
        UsageError: the numbers are so high that no session has as many chunks.
    """
    first = 0 if 0 in numbers else 1
    last = max(numbers)
    if known:
        begin = first if known.first_chunk is None else known.first_chunk
        first, last = min(first, begin), max(last, begin + known.chunk_count - 1)
    if last - first + 1 > MAX_CHUNKS:
        raise UsageError(f"chunk {last}: a session has at most {MAX_CHUNKS:,} chunks")
    return SessionMetadata(chunk_count=last - first + 1, first_chunk=first)


def announced_chunks(metadata: SessionMetadata, seen: Collection[int]) -> range:
    """Return the numbers of the chunks that `metadata` announces; `seen` were uploaded.

    The rule for the first one is that of `transcripts.documents.SessionMetadata`.
    """
    first = metadata.first_chunk
    if first is None:
        first = 0 if 0 in seen else 1
    return range(first, first + metadata.chunk_count)


def format_spans(numbers: Iterable[int]) -> str:
    """Return numbers as text for people, e.g. `3, 7 to 9`."""
    found: list[list[int]] = []
    for each in sorted(set(numbers)):
        if found and each == found[-1][1] + 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in found)
