"""What AudioEvents hold, as PCM: `pcm` is checked, all else is decoded as it comes.

    decoder = decoder_for(request)
    for pcm in decoder.feed(payload): ...      # for each event
    for pcm in decoder.finish(): ...           # when the audio has ended

Compressed audio may be cut into events anywhere. What can be held for it, and what comes out of
one event, is bounded; both are `BadRequest` beyond that, as is what cannot be decoded. Of FLAC,
FFmpeg's parser keeps the last ten frames until it has seen the next one or the end.

FLAC: RFC 9639. Opus in Ogg: RFC 7845. Telephones' audio comes without a container: of ITU-T G.711
each sample is a byte, of G.729 each frame of 10 ms is 10 bytes (never Annex B's shorter ones).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol, cast

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet

from transcribe_endpoint.audio.ogg import OggReader
from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.requests import TELEPHONE, TranscribeRequest

#: Seconds of audio in one event of PCM at most.
MAX_EVENT_SECONDS: Final = 1.0
#: Seconds that one event may decompress to. Ten of FLAC's frames are some seconds.
MAX_DECODED_SECONDS: Final = 30.0
#: Bytes that may come without a frame of audio. Ten frames of FLAC at its densest are less.
MAX_UNHEARD_BYTES: Final = 1024 * 1024

_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_TOO_BIG: Final = "Your stream is too big. Reduce the frame size and try your request again."


class Decoder(Protocol):
    """Turns the payloads of a stream's events into PCM of its rate and channels."""

    def feed(self, payload: bytes) -> Iterator[bytes]:
        """Yield whole frames of PCM, never none.

        Raises:
            BadRequest: the payload is not what the request says, or too much.
        """

    def finish(self) -> Iterator[bytes]:
        """Yield what is left. What the last event broke off is dropped.

        Raises:
            BadRequest: there was something, but no audio.
        """


def decoder_for(request: TranscribeRequest) -> Decoder:
    """Return the decoder of a stream."""
    if request.media_encoding == "flac":
        return _Compressed(request, _Flac(request))
    if request.media_encoding == "ogg-opus":
        return _Compressed(request, _OggOpus(request))
    if request.media_encoding in TELEPHONE:
        return _Telephone(request)
    return _Pcm(request)


class _Pcm:
    """PCM as it is."""

    def __init__(self, request: TranscribeRequest) -> None:
        self._bytes_per_frame = 2 * request.channels
        self._most = request.bytes_per_second * MAX_EVENT_SECONDS

    def feed(self, payload: bytes) -> Iterator[bytes]:
        if len(payload) > self._most:
            raise BadRequest(_TOO_BIG)
        if len(payload) % self._bytes_per_frame:
            raise BadRequest("The audio of an event must be a whole number of 16-bit frames.")
        yield payload

    def finish(self) -> Iterator[bytes]:
        yield from ()


_CODECS: Final = {"g711-alaw": "pcm_alaw", "g711-ulaw": "pcm_mulaw", "g729": "g729"}


class _Telephone:
    """Frames of so many bytes, which may be cut into events anywhere."""

    def __init__(self, request: TranscribeRequest) -> None:
        size, samples = TELEPHONE[request.media_encoding]
        self._bytes_per_frame = size * request.channels
        self._most = request.sample_rate // samples * self._bytes_per_frame * MAX_EVENT_SECONDS
        self._rest = b""
        self._codec = _codec(_CODECS[request.media_encoding], None)
        self._codec.sample_rate = request.sample_rate
        self._codec.layout = _LAYOUTS[request.channels]

    def feed(self, payload: bytes) -> Iterator[bytes]:
        if len(payload) > self._most:
            raise BadRequest(_TOO_BIG)
        data = self._rest + payload
        whole = len(data) - len(data) % self._bytes_per_frame
        self._rest = data[whole:]
        if whole:
            for frame in _refusing(self._codec.decode(Packet(data[:whole]))):
                yield _samples(frame)

    def finish(self) -> Iterator[bytes]:
        yield from ()


class _Format(Protocol):
    """Takes a format apart and decodes it."""

    def feed(self, data: bytes) -> Iterator[AudioFrame]:
        """Yield the frames that `data` completes."""

    def finish(self) -> Iterator[AudioFrame]:
        """Yield the rest."""


class _Compressed:
    """Decodes a format, and converts it to what was asked for."""

    def __init__(self, request: TranscribeRequest, compressed: _Format) -> None:
        self._compressed = compressed
        self._resampler = AudioResampler(
            format="s16", layout=_LAYOUTS[request.channels], rate=request.sample_rate
        )
        self._fed = False
        self._heard = False

    def feed(self, payload: bytes) -> Iterator[bytes]:
        self._fed = True
        yield from self._converted(self._compressed.feed(payload))

    def finish(self) -> Iterator[bytes]:
        yield from self._converted(self._compressed.finish())
        if self._heard:
            yield from self._pcm(None)
        elif self._fed:
            raise BadRequest("There is no audio in the stream.")

    def _converted(self, frames: Iterator[AudioFrame]) -> Iterator[bytes]:
        seconds = 0.0
        for frame in _refusing(frames):
            self._heard = True
            seconds += frame.samples / frame.sample_rate
            if seconds > MAX_DECODED_SECONDS:
                raise BadRequest(_TOO_BIG)
            frame.pts = None  # a gap in its clock is no reason to stop
            yield from self._pcm(frame)

    def _pcm(self, frame: AudioFrame | None) -> Iterator[bytes]:
        try:
            converted_frames = self._resampler.resample(frame)
        except ValueError as error:  # it was made for what came first
            raise BadRequest("The audio changes its format.") from error
        for converted in converted_frames:
            if converted.samples:
                yield _samples(converted)


def _samples(frame: AudioFrame) -> bytes:
    """Return the PCM of a frame in one plane; planes are padded."""
    return bytes(frame.planes[0])[: frame.samples * 2 * frame.layout.nb_channels]


def _refusing(frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
    """Yield `frames`.

    Raises:
        BadRequest: FFmpeg cannot decode them.
    """
    try:
        yield from frames
    except av.error.FFmpegError as error:
        raise BadRequest("The audio cannot be decoded.") from error


def _check_channels(channels: int, request: TranscribeRequest) -> None:
    """Accept so many channels; more than are to be told apart are mixed.

    Raises:
        BadRequest: there are too few.
    """
    if channels < request.channels:
        raise BadRequest(f"The audio has 1 channel, and {request.channels} are to be identified.")


def _codec(name: str, extradata: bytes | None, **options: str) -> AudioCodecContext:
    codec = cast("AudioCodecContext", av.CodecContext.create(name, "r"))
    codec.extradata = extradata
    codec.options = options
    return codec


# --- FLAC -----------------------------------------------------------------------------------------

_MAGIC: Final = b"fLaC"
#: The header of a block of metadata: 1 bit whether it is the last, 7 its type, 24 its length.
_BLOCK_BYTES: Final = 4
_STREAM_INFO_BYTES: Final = 34
_LAST_BLOCK: Final = 0x80
#: What a frame begins with: blocks of a fixed or of a variable size.
_SYNCS: Final = (b"\xff\xf8", b"\xff\xf9")
#: Where the number of a frame begins.
_NUMBER_AT: Final = 4
#: What FFmpeg's parser is given at a time: of many frames at once it would keep more than ten.
_SLICE_BYTES: Final = 64


class _Flac:
    """The native format: what it is, other metadata, frames."""

    def __init__(self, request: TranscribeRequest) -> None:
        self._request = request
        #: What has come of the header and is not read yet.
        self._head = bytearray()
        #: Bytes of a block of metadata that are still to come.
        self._skip = 0
        self._last_block = False
        self._codec: AudioCodecContext | None = None
        self._in_frames = False
        #: What the next frame must be numbered, once there was one.
        self._number: int | None = None
        self._unheard = 0

    def feed(self, data: bytes) -> Iterator[AudioFrame]:
        self._unheard += len(data)
        if not self._in_frames:
            self._head += data
            data = self._behind_header()
        if data:
            yield from self._decoded(data)
        if self._unheard > MAX_UNHEARD_BYTES:
            raise BadRequest("There is no audio in the stream.")

    def finish(self) -> Iterator[AudioFrame]:
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
                    self._unheard -= packet.size
                    yield from self._next(codec, packet)

    def _next(self, codec: AudioCodecContext, packet: Packet[AudioStream]) -> Iterator[AudioFrame]:
        """Decode a packet, which is a frame, or several of which some may be damaged.

        Raises:
            BadRequest: a frame before it was lost: FFmpeg says nothing when it skips one.
        """
        numbered, number = _numbered(bytes(packet))
        if self._number not in {None, number}:
            raise BadRequest("The FLAC stream is damaged.")
        for frame in codec.decode(packet):
            number += 1 if numbered else frame.samples
            yield frame
        self._number = number

    def _behind_header(self) -> bytes:
        """Read the header as far as it has come; return what is behind it.

        Raises:
            BadRequest: it is none, or of another kind of audio than the request says.
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
        self._unheard = len(head)
        return bytes(head)

    def _read_stream_info(self) -> bool:
        """Read what must come first; tell whether it has come.

        Raises:
            BadRequest: it is something else.
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
        _check_channels(channels, self._request)
        self._last_block = bool(block[0] & _LAST_BLOCK)
        self._codec = _codec("flac", info, err_detect="crccheck+bitstream+buffer+explode")
        del head[:size]
        return True


def _numbered(frame: bytes) -> tuple[bool, int]:
    """Return whether a frame has a number of its own, or that of its first sample; and it.

    The number is coded as UTF-8 codes characters: RFC 9639, section 9.1.5.

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


# --- Opus -----------------------------------------------------------------------------------------

_OPUS_HEAD: Final = b"OpusHead"
_OPUS_TAGS: Final = b"OpusTags"
_OPUS_HEAD_BYTES: Final = 19


class _OggOpus:
    """Two packets of headers, then audio, which is at 48 kHz whatever it was made from."""

    def __init__(self, request: TranscribeRequest) -> None:
        self._request = request
        self._ogg = OggReader()
        self._codec: AudioCodecContext | None = None
        self._tagged = False

    def feed(self, data: bytes) -> Iterator[AudioFrame]:
        for packet in self._ogg.feed(data):
            if self._codec is None:
                self._codec = self._opened(packet)
            elif not self._tagged:
                if not packet.startswith(_OPUS_TAGS):
                    raise BadRequest("The Opus stream is damaged.")
                self._tagged = True
            elif packet:
                yield from self._codec.decode(Packet(packet))

    def finish(self) -> Iterator[AudioFrame]:
        if self._codec is not None and self._tagged:
            yield from self._codec.decode(None)

    def _opened(self, head: bytes) -> AudioCodecContext:
        """Return the decoder of a stream that begins with the packet `head`.

        Raises:
            BadRequest: this is no Opus, or not with the channels of the request.
        """
        if not head.startswith(_OPUS_HEAD) or len(head) < _OPUS_HEAD_BYTES:
            raise BadRequest("The Ogg stream holds no Opus.")
        version, channels, family = head[8], head[9], head[18]
        if version >> 4 or family:
            raise BadRequest("Only Opus of one or two channels is supported.")
        _check_channels(channels, self._request)
        return _codec("opus", head)
