"""Find the recordings in a file into which several were joined.

Players, and FFmpeg, read the result of `cat a.wav b.wav` as `a.wav` alone. A recorder that crashes
leaves a header that announces less audio than the file has. The lengths of the chunks in such
formats reveal both: they lead to the end of the file, to the beginning of another recording, or to
something that is no chunk.

Formats without such lengths (MP3, Ogg, WebM, FLAC, AAC, AU) need no search: their demuxers read on.

| format            | specified in                                                  |
|-------------------|---------------------------------------------------------------|
| WAV, AVI          | Multimedia Programming Interface and Data Specifications 1.0  |
| RF64, BW64        | EBU Tech 3306, ITU-R BS.2088                                  |
| W64               | Sony Pictures Digital Wave 64                                 |
| AIFF, AIFC        | Audio Interchange File Format 1.3                             |
| CAF               | Core Audio Format Specification 1.0                           |
| ASF (WMA)         | Advanced Systems Format Specification 01.20.03, section 2     |
| MP4, M4A, MOV     | ISO/IEC 14496-12, section 4.2                                 |
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, Final

#: At most so many bytes after the last chunk are padding or a tag.
PADDING_BYTES: Final = 4096
#: The most chunks that are read of one file. A file of more counts as one recording.
MAX_CHUNKS: Final = 100_000
#: The most recordings in one file.
MAX_PARTS: Final = 1_000
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """One recording within a file.

    Attributes:
        start: offset of its first byte.
        end: offset after its last byte.
        outgrown: whether it holds more than its header announces.
    """

    start: int
    end: int
    outgrown: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """The layout of a format's chunks.

    Attributes:
        name: the format's name.
        magic: the bytes at `magic_at` of every file.
        first: offset of the first chunk.
        id_bytes: size of a chunk's id.
        length: `struct` format of the length behind the id.
        counts_header: whether a chunk's length includes its id and length.
        align: chunks begin at multiples of this.
        kind: bytes at offset 8 that distinguish formats of the same magic.
        length_first: whether the length precedes the id (MP4).
        data: id of the one chunk that holds the audio, if any.
        unknown: lengths that mean "up to the end of the file"; where `data` is given, in that
            chunk only.
    """

    name: str
    magic: bytes
    first: int
    id_bytes: int = 4
    length: str = "<I"
    counts_header: bool = False
    align: int = 1
    kind: bytes = b""
    magic_at: int = 0
    length_first: bool = False
    data: bytes = b""
    unknown: tuple[int, ...] = (0,)

    @property
    def header(self) -> int:
        """The size of a chunk's id and length in bytes."""
        return self.id_bytes + struct.calcsize(self.length)

    def begins(self, head: bytes) -> bool:
        """Return whether a file of this format begins with `head` (16 bytes)."""
        magic = head[self.magic_at : self.magic_at + len(self.magic)]
        return magic == self.magic and head[8:].startswith(self.kind)


_ASF_HEADER: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_W64_RIFF: Final = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA: Final = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
#: Lengths in a header that the recorder never completed.
_NEVER_WRITTEN: Final = (0, 0xFFFFFFFF)


def _riff(name: str, magic: bytes) -> Format:
    return Format(name, magic, 12, align=2, kind=b"WAVE", data=b"data", unknown=_NEVER_WRITTEN)


def _aiff(kind: bytes) -> Format:
    name = kind.decode()
    return Format(
        name, b"FORM", 12, length=">I", align=2, kind=kind, data=b"SSND", unknown=_NEVER_WRITTEN
    )


FORMATS: Final = (
    _riff("WAV", b"RIFF"),
    _riff("RF64", b"RF64"),
    _riff("BW64", b"BW64"),
    _aiff(b"AIFF"),
    _aiff(b"AIFC"),
    Format(
        "W64",
        _W64_RIFF,
        40,
        id_bytes=16,
        length="<Q",
        counts_header=True,
        align=8,
        data=_W64_DATA,
    ),
    Format("CAF", b"caff", 8, length=">Q", data=b"data", unknown=(0xFFFFFFFFFFFFFFFF,)),
    Format("AVI", b"RIFF", 0, align=2, kind=b"AVI "),
    Format("ASF", _ASF_HEADER, 0, id_bytes=16, length="<Q", counts_header=True),
    Format("MP4", b"ftyp", 0, length=">I", counts_header=True, magic_at=4, length_first=True),
)


def find_parts(file: BinaryIO, size: int) -> list[Part]:
    """Return the recordings in a file of `size` bytes, at least one.

    Args:
        file: a seekable file; its position changes.
        size: size of the file, bytes.

    Raises:
        OSError: the file cannot be read.
    """
    layout = next((each for each in FORMATS if each.begins(_read(file, 0, 16))), None)
    if layout is None:
        return [Part(0, size)]
    found = [0]
    outgrown: set[int] = set()
    for begin, is_orderly in _find_ends(file, size, layout):
        if not is_orderly:
            outgrown.add(found[-1])
        if begin < size:
            found.append(begin)
    return [Part(start, end, start in outgrown) for start, end in pairwise([*found, size])]


def _find_ends(file: BinaryIO, size: int, layout: Format) -> Iterator[tuple[int, bool]]:
    """Yield the end of each part, and whether its own lengths lead there."""
    start = 0
    for _ in range(MAX_PARTS):
        at, is_orderly = _walk(file, start, size, layout)
        if not is_orderly:
            at = _search(file, at, size, layout)
        yield at, is_orderly
        if at >= size:
            return
        start = at


def _walk(file: BinaryIO, start: int, size: int, layout: Format) -> tuple[int, bool]:
    """Follow the chunks of the part at `start`.

    Returns:
        The end of the part and True; or the offset of something that is no chunk, and False.
    """
    at = start + layout.first
    large: int | None = None  # length of the data by RF64's `ds64`
    for _ in range(MAX_CHUNKS):
        head = _read(file, at, 32)
        if at > start and layout.begins(head[:16]):
            return at, True
        if size - at < layout.header:
            break
        name, length = _parse_chunk(head, layout)
        if name == b"ds64":
            large = int.from_bytes(_read(file, at + 16, 8), "little")
        is_data = name == layout.data
        if length in layout.unknown and (is_data or not layout.data):
            if large is None:
                break
            length = large
        end = at + length + (0 if layout.counts_header else layout.header)
        # Samples may look like a chunk, but rarely like one that ends within the file.
        is_too_long = end > size and layout.data and not is_data
        if is_too_long or not _is_chunk(name, length, layout):
            return (at, False) if _has_content(file, at, size) else (size, True)
        at = start + -(-(end - start) // layout.align) * layout.align
    return size, True


def _parse_chunk(head: bytes, layout: Format) -> tuple[bytes, int]:
    """Parse the id and the length of a chunk that begins with `head`."""
    if not layout.length_first:
        [length] = struct.unpack_from(layout.length, head, layout.id_bytes)
        return head[: layout.id_bytes], length
    [length] = struct.unpack_from(layout.length, head)
    name = head[4:8]
    if length == 1 and len(head) >= 16:  # noqa: PLR2004 - a 64-bit length follows the id
        [length] = struct.unpack_from(">Q", head, 8)
    return name, length


def _is_chunk(name: bytes, length: int, layout: Format) -> bool:
    if layout.counts_header and length < layout.header:
        return False
    return layout.id_bytes != 4 or all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name)  # noqa: PLR2004 - four printable characters, or Apple's (c)


def _has_content(file: BinaryIO, at: int, size: int) -> bool:
    """Return whether more than padding follows the last chunk."""
    if size - at <= PADDING_BYTES:
        return False
    return any(any(block) for _, block in _blocks(file, at, size))


def _search(file: BinaryIO, at: int, size: int, layout: Format) -> int:
    """Return the offset of the next recording of the format; `size` if there is none."""
    overlap = layout.magic_at + 16
    tail, tail_at = b"", at
    for position, block in _blocks(file, at, size):
        window = tail + block
        found = window.find(layout.magic)
        while found >= 0:
            begin = tail_at + found - layout.magic_at
            if begin >= at and layout.begins(_read(file, begin, 16)):
                return begin
            found = window.find(layout.magic, found + 1)
        tail, tail_at = window[-overlap:], position + len(block) - len(window[-overlap:])
    return size


def _blocks(file: BinaryIO, at: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the file from `at` on in blocks, each with its position."""
    while at < size and (block := _read(file, at, min(_BLOCK, size - at))):
        yield at, block
        at += len(block)


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
