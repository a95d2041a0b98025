"""A parser of Ogg (RFC 3533) that takes bytes as they come and yields the stream's packets.

    reader = OggReader()
    for packet in reader.feed(data): ...

At most a page and `MAX_PACKET_BYTES` are buffered. A page that is damaged, missing or doubled is
refused, because its packets would decode to noise.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from transcribe_endpoint.errors import BadRequest

#: Bytes of one packet at most. Audio takes a few hundred; comments may hold a picture.
MAX_PACKET_BYTES: Final = 1024 * 1024

_CAPTURE: Final = b"OggS"
#: Capture pattern, version, flags, granule position, serial, sequence, checksum, segments.
_HEADER: Final = struct.Struct("<4sBBqIIIB")
_CHECKSUM: Final = slice(22, 26)
_CONTINUED, _FIRST, _LAST = 1, 2, 4
#: The length of a segment after which its packet continues.
_FULL: Final = 255


class OggReader:
    """Reads the pages of one logical stream."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._serial: int | None = None
        self._sequence = 0
        #: The packet that continues in the next page; None where none does.
        self._open: bytearray | None = None
        self._over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the packets that `data` completes.

        Raises:
            BadRequest: this is no Ogg stream, or it is damaged.
        """
        self._unread += data
        while True:
            if not _CAPTURE.startswith(self._unread[: len(_CAPTURE)]):
                raise BadRequest("The audio is no Ogg stream, or it is damaged.")
            lengths = self._lengths()
            if lengths is None:
                return
            size = _HEADER.size + len(lengths) + sum(lengths)
            if len(self._unread) < size:
                return
            page = bytes(self._unread[:size])
            del self._unread[:size]
            self._check(page)
            yield from self._packets(page, lengths)

    def _lengths(self) -> bytes | None:
        """Return the lengths of the segments of the next page; None while they have not come."""
        if len(self._unread) < _HEADER.size:
            return None
        count = self._unread[_HEADER.size - 1]
        lengths = bytes(self._unread[_HEADER.size : _HEADER.size + count])
        return lengths if len(lengths) == count else None

    def _check(self, page: bytes) -> None:
        """Accept a page as the next one of the stream.

        Raises:
            BadRequest: it is not.
        """
        _, version, flags, _, serial, sequence, checksum, _ = _HEADER.unpack_from(page)
        if self._over:
            raise BadRequest("The Ogg stream goes on after its last page.")
        if version != 0 or checksum != _crc(page):
            raise BadRequest("A page of the Ogg stream is damaged.")
        if self._serial is None:
            self._serial, self._sequence = serial, sequence
            if not flags & _FIRST:
                raise BadRequest("The Ogg stream does not begin with its first page.")
        elif flags & _FIRST or serial != self._serial:
            raise BadRequest("The Ogg stream must hold one logical stream only.")
        if sequence != self._sequence or bool(flags & _CONTINUED) != (self._open is not None):
            raise BadRequest("A page of the Ogg stream is missing.")
        self._sequence = (sequence + 1) & 0xFFFFFFFF
        self._over = bool(flags & _LAST)

    def _packets(self, page: bytes, lengths: bytes) -> Iterator[bytes]:
        at = _HEADER.size + len(lengths)
        for length in lengths:
            if self._open is None:
                self._open = bytearray()
            self._open += page[at : at + length]
            at += length
            if len(self._open) > MAX_PACKET_BYTES:
                raise BadRequest("A packet of the Ogg stream is too long.")
            if length < _FULL:
                packet, self._open = bytes(self._open), None
                yield packet


#: Each byte with its bits in reverse order.
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES: Final = 0xFFFFFFFF


def _crc(page: bytes) -> int:
    """Return the checksum of a page, in which the checksum itself counts as zeros.

    Ogg's CRC is that of zlib over reversed bits, without zlib's inversion at both ends.
    """
    data = bytearray(page)
    data[_CHECKSUM] = bytes(4)
    crc = zlib.crc32(data.translate(_REVERSED), _ONES) ^ _ONES
    return int(f"{crc:032b}"[::-1], 2)
