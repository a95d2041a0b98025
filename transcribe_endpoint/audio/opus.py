"""Opus in Ogg (RFC 7845): two header packets, then audio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.packet import Packet

from transcribe_endpoint.audio.codecs import check_channels, open_codec
from transcribe_endpoint.audio.ogg import OggReader
from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.requests import TranscribeRequest

_OPUS_HEAD: Final = b"OpusHead"
_OPUS_TAGS: Final = b"OpusTags"
_OPUS_HEAD_BYTES: Final = 19


class OggOpusDecoder:
    """Decodes one stream of Opus; the output has 48 kHz, whatever the source had."""

    def __init__(self, request: TranscribeRequest) -> None:
        self._request = request
        self._ogg = OggReader()
        self._codec: AudioCodecContext | None = None
        self._tagged = False

    def feed(self, data: bytes) -> Iterator[AudioFrame]:
        """Yield the frames that `data` completes.

        Raises:
            BadRequest: this is no Opus in Ogg with the request's channels, or it is damaged.
        """
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
        """Yield the rest of the decoder's output."""
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
        check_channels(channels, self._request)
        return open_codec("opus", head)
