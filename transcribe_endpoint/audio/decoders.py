"""Decoding of the audio in a stream's events to PCM; `pcm` is only checked.

    decoder = decoder_for(request)
    for pcm in decoder.feed(payload): ...      # for each event
    for pcm in decoder.finish(): ...           # when the audio has ended

Compressed audio may be cut into events anywhere. The memory for it and the audio from one event are
bounded; more is a `BadRequest`, and so is audio that cannot be decoded.

Telephone audio comes without a container: in ITU-T G.711 each sample is a byte, in G.729 each
frame of 10 ms has 10 bytes (the shorter frames of Annex B are not supported).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.packet import Packet

from transcribe_endpoint.audio.codecs import open_codec, refuse_undecodable, samples_of
from transcribe_endpoint.audio.flac import FlacDecoder
from transcribe_endpoint.audio.opus import OggOpusDecoder
from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.requests import TELEPHONE, TranscribeRequest

#: Seconds of audio in one event of PCM at most.
MAX_EVENT_SECONDS: Final = 1.0
#: Seconds that one event may decompress to. Ten frames of FLAC are some seconds.
MAX_DECODED_SECONDS: Final = 30.0

_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_TOO_BIG: Final = "Your stream is too big. Reduce the frame size and try your request again."


class Decoder(Protocol):
    """Turns the payloads of a stream's events into PCM of its rate and channels."""

    def feed(self, payload: bytes) -> Iterator[bytes]:
        """Yield PCM in whole frames, never an empty piece.

        Raises:
            BadRequest: the payload is not what the request says, or too large.
        """

    def finish(self) -> Iterator[bytes]:
        """Yield the rest. An incomplete frame at the end is dropped.

        Raises:
            BadRequest: there were payloads without any audio.
        """


def decoder_for(request: TranscribeRequest) -> Decoder:
    """Return a decoder for the encoding that a stream's request names."""
    if request.media_encoding == "flac":
        return _Compressed(request, FlacDecoder(request))
    if request.media_encoding == "ogg-opus":
        return _Compressed(request, OggOpusDecoder(request))
    if request.media_encoding in TELEPHONE:
        return _Telephone(request)
    return _Pcm(request)


class _Pcm:
    """PCM, unchanged."""

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
    """A telephone codec: frames of a fixed size, which may be cut into events anywhere."""

    def __init__(self, request: TranscribeRequest) -> None:
        size, samples = TELEPHONE[request.media_encoding]
        self._bytes_per_frame = size * request.channels
        self._most = request.sample_rate // samples * self._bytes_per_frame * MAX_EVENT_SECONDS
        self._rest = b""
        self._codec = open_codec(_CODECS[request.media_encoding], None)
        self._codec.sample_rate = request.sample_rate
        self._codec.layout = _LAYOUTS[request.channels]

    def feed(self, payload: bytes) -> Iterator[bytes]:
        if len(payload) > self._most:
            raise BadRequest(_TOO_BIG)
        data = self._rest + payload
        whole = len(data) - len(data) % self._bytes_per_frame
        self._rest = data[whole:]
        if whole:
            for frame in refuse_undecodable(self._codec.decode(Packet(data[:whole]))):
                yield samples_of(frame)

    def finish(self) -> Iterator[bytes]:
        yield from ()


class _Format(Protocol):
    """Parses a compressed format and decodes it."""

    def feed(self, data: bytes) -> Iterator[AudioFrame]:
        """Yield the frames that `data` completes."""

    def finish(self) -> Iterator[AudioFrame]:
        """Yield the rest."""


class _Compressed:
    """Decodes a compressed format, and converts it to the request's rate and channels."""

    def __init__(self, request: TranscribeRequest, compressed: _Format) -> None:
        self._compressed = compressed
        self._resampler = AudioResampler(
            format="s16", layout=_LAYOUTS[request.channels], rate=request.sample_rate
        )
        self._has_payload = False
        self._has_audio = False

    def feed(self, payload: bytes) -> Iterator[bytes]:
        self._has_payload = True
        yield from self._converted(self._compressed.feed(payload))

    def finish(self) -> Iterator[bytes]:
        yield from self._converted(self._compressed.finish())
        if self._has_audio:
            yield from self._pcm(None)
        elif self._has_payload:
            raise BadRequest("There is no audio in the stream.")

    def _converted(self, frames: Iterator[AudioFrame]) -> Iterator[bytes]:
        seconds = 0.0
        for frame in refuse_undecodable(frames):
            self._has_audio = True
            seconds += frame.samples / frame.sample_rate
            if seconds > MAX_DECODED_SECONDS:
                raise BadRequest(_TOO_BIG)
            frame.pts = None  # or the resampler would stop at a gap in the timestamps
            yield from self._pcm(frame)

    def _pcm(self, frame: AudioFrame | None) -> Iterator[bytes]:
        try:
            converted_frames = self._resampler.resample(frame)
        except ValueError as error:  # it was set up for the first frame
            raise BadRequest("The audio changes its format.") from error
        for converted in converted_frames:
            if converted.samples:
                yield samples_of(converted)
