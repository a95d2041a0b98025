"""FLAC in its native format (RFC 9639): stream info, other metadata, frames.

FFmpeg skips a frame that is lost or damaged without an error, so the numbers of the frames are
checked here. Its parser keeps the last ten frames until it has seen the next one or the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from transcribe_endpoint.audio.codecs import check_channels, open_codec
from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.requests import TranscribeRequest

#: Bytes that may come without a frame of audio. Ten frames of FLAC at its densest are less.
MAX_UNDECODED_BYTES: Final = 1024 * 1024

_MAGIC: Final = b"fLaC"
#: The header of a block of metadata: 1 bit whether it is the last, 7 its type, 24 its length.
_BLOCK_BYTES: Final = 4
_STREAM_INFO_BYTES: Final = 34
_LAST_BLOCK: Final = 0x80
#: The first bytes of a frame: of a stream with a fixed or a variable block size.
_SYNCS: Final = (b"\xff\xf8", b"\xff\xf9")
#: The offset of a frame's number.
_NUMBER_AT: Final = 4
#: Bytes given to FFmpeg's parser at a time: of many frames at once it would keep more than ten.
_SLICE_BYTES: Final = 64


class FlacDecoder:
    """Decodes one FLAC stream."""

    def __init__(self, request: TranscribeRequest) -> None:
        self._request = request
        #: The part of the header that has come and is not parsed yet.
        self._head = bytearray()
        #: Bytes of a block of metadata that are still to come.
        self._skip = 0
        self._last_block = False
        self._codec: AudioCodecContext | None = None
        self._in_frames = False
        #: The number that the next frame must have, once there was one.
        self._number: int | None = None
        self._undecoded = 0

    def feed(self, data: bytes) -> Iterator[AudioFrame]:
        """Yield the frames that `data` completes.

        Raises:
            BadRequest: this is no FLAC of the request's format, or it is damaged.
        """
        self._undecoded += len(data)
        if not self._in_frames:
            self._head += data
            data = self._behind_header()
        if data:
            yield from self._decoded(data)
        if self._undecoded > MAX_UNDECODED_BYTES:
            raise BadRequest("There is no audio in the stream.")

    def finish(self) -> Iterator[AudioFrame]:
        """Yield the frames that FFmpeg's parser still keeps."""
        codec = self._codec
        if codec is None:
            return
        try:
            while packets := codec.parse(b""):  # one at a time
                for packet in packets:
                    yield from self._next(codec, packet)
        except av.error.InvalidDataError:
            return  # the client has stopped within a frame
        yield from codec.decode(None)

    def _decoded(self, data: bytes) -> Iterator[AudioFrame]:
        codec = self._codec
        if codec is not None:
            for at in range(0, len(data), _SLICE_BYTES):
                for packet in codec.parse(data[at : at + _SLICE_BYTES]):
                    self._undecoded -= packet.size
                    yield from self._next(codec, packet)

    def _next(self, codec: AudioCodecContext, packet: Packet[AudioStream]) -> Iterator[AudioFrame]:
        """Decode a packet, which is a frame, or several of which some may be damaged.

        Raises:
            BadRequest: a frame before it was lost.
        """
        numbered, number = _numbered(bytes(packet))
        if self._number not in {None, number}:
            raise BadRequest("The FLAC stream is damaged.")
        for frame in codec.decode(packet):
            number += 1 if numbered else frame.samples
            yield frame
        self._number = number

    def _behind_header(self) -> bytes:
        """Parse the header as far as it has come; return the bytes behind it.

        Raises:
            BadRequest: this is no FLAC, or its format is not that of the request.
        """
        head = self._head
        if self._codec is None and not self._read_stream_info():
            return b""
        while self._skip or not self._last_block:
            if len(head) < (1 if self._skip else _BLOCK_BYTES):
                return b""
            if not self._skip:
                self._last_block = bool(head[0] & _LAST_BLOCK)
                self._skip = _BLOCK_BYTES + int.from_bytes(head[1:_BLOCK_BYTES], "big")
            skipped = min(self._skip, len(head))
            self._skip -= skipped
            del head[:skipped]
        if len(head) < len(_SYNCS[0]):
            return b""
        if not head.startswith(_SYNCS):
            raise BadRequest("The FLAC stream is damaged.")
        self._in_frames = True
        self._undecoded = len(head)
        return bytes(head)

    def _read_stream_info(self) -> bool:
        """Parse the stream info, which must come first; return whether it has come.

        Raises:
            BadRequest: something else has come.
        """
        head, size = self._head, len(_MAGIC) + _BLOCK_BYTES + _STREAM_INFO_BYTES
        if not _MAGIC.startswith(head[: len(_MAGIC)]):
            raise BadRequest("The audio is no FLAC stream.")
        if len(head) < size:
            return False
        block = head[len(_MAGIC) : len(_MAGIC) + _BLOCK_BYTES]
        if block[0] & ~_LAST_BLOCK or int.from_bytes(block[1:], "big") != _STREAM_INFO_BYTES:
            raise BadRequest("The FLAC stream is damaged.")
        info = bytes(head[size - _STREAM_INFO_BYTES : size])
        # 20 bits of rate, then 3 of the number of channels less one.
        packed = int.from_bytes(info[10:13], "big")
        rate, channels = packed >> 4, (packed >> 1 & 7) + 1
        if rate != self._request.sample_rate:
            raise BadRequest(f"The audio is of {rate} Hz, which is not what the request says.")
        check_channels(channels, self._request)
        self._last_block = bool(block[0] & _LAST_BLOCK)
        self._codec = open_codec("flac", info, err_detect="crccheck+bitstream+buffer+explode")
        del head[:size]
        return True


def _numbered(frame: bytes) -> tuple[bool, int]:
    """Return whether a frame is numbered by frames (else by its first sample), and its number.

    The number is encoded like a character in UTF-8: RFC 9639, section 9.1.5.

    Raises:
        BadRequest: it is no frame.
    """
    if not frame.startswith(_SYNCS) or len(frame) <= _NUMBER_AT:
        raise BadRequest("The FLAC stream is damaged.")
    first = frame[_NUMBER_AT]
    ones = 8 - (first ^ 0xFF).bit_length()
    number = first & (0x7F >> ones)
    for byte in frame[_NUMBER_AT + 1 : _NUMBER_AT + ones]:
        number = number << 6 | byte & 0x3F
    return frame.startswith(_SYNCS[0]), number
