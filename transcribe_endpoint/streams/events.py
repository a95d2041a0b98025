"""Encoding and decoding of the event stream: transcripts and exceptions out, audio in.

Over WebSocket a message holds events. Over HTTP/2 the body is a sequence of signed envelopes, each
around one event (`SignedAudio`).

https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from amazon_transcribe.eventstream import (
    EventStreamBuffer,
    EventStreamMessage,
    EventStreamMessageSerializer,
    ParserError,
)

from transcribe_endpoint.errors import BadRequest
from transcribe_endpoint.signatures import ChunkVerifier

#: Bytes of one envelope at most. An event may hold one second of audio, at most 192,000 bytes.
MAX_ENVELOPE_BYTES: Final = 256 * 1024

_Headers = dict[str, Any]  # the codec's own type is invariant
_SERIALIZER = EventStreamMessageSerializer()


# --- what is sent ---------------------------------------------------------------------------------


def transcript_frame(results: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a TranscriptEvent that holds `results`, encoded."""
    payload = json.dumps({"Transcript": {"Results": list(results)}}, separators=(",", ":"))
    headers: _Headers = {
        ":event-type": "TranscriptEvent",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return bytes(_SERIALIZER.serialize(headers, payload.encode()))


def exception_frame(error_type: str, message: str) -> bytes:
    """Return the event that ends a stream with an exception, encoded."""
    headers: _Headers = {
        ":exception-type": error_type,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return bytes(_SERIALIZER.serialize(headers, json.dumps({"Message": message}).encode()))


# --- what is read ---------------------------------------------------------------------------------


def read_messages(data: bytes) -> list[EventStreamMessage]:
    """Return the event-stream messages in `data`.

    Raises:
        BadRequest: it is malformed, or ends within a message.
    """
    buffer = _buffer()
    buffer.add_data(data)
    messages = list(_complete(buffer))
    if sum(message.prelude.total_length for message in messages) != len(data):
        raise BadRequest("The message does not end where its event-stream message does.")
    return messages


def payload_of(message: EventStreamMessage) -> bytes:
    """Return the payload of a message, whose type the codec annotates wrongly."""
    payload: Any = message.payload
    return bytes(payload)


def read_audio_event(message: EventStreamMessage) -> bytes:
    """Return the audio of an event; empty audio is the end of the audio.

    Raises:
        BadRequest: it is no AudioEvent.
    """
    if message.headers.get(":event-type") != "AudioEvent":
        raise BadRequest("Only AudioEvents are expected in the stream.")
    return payload_of(message)


class SignedAudio:
    """Verifies the envelopes of one stream and yields the audio in them."""

    def __init__(self, chain: ChunkVerifier) -> None:
        self._chain = chain
        self._buffer = _buffer()
        self._unread = 0

    def feed(self, data: bytes, *, now: datetime) -> Iterator[bytes]:
        """Yield the audio of the envelopes that `data` completes; empty audio is its end.

        Raises:
            BadRequest: this is no envelope around an AudioEvent, or it is too large.
            SignatureError: an envelope is not signed by the signer of the request.
        """
        self._unread += len(data)
        self._buffer.add_data(data)
        for envelope in _complete(self._buffer):
            self._unread -= envelope.prelude.total_length
            payload = payload_of(envelope)
            self._chain.verify(envelope.headers, payload, now=now)
            yield _audio_in(payload) if payload else b""
        if self._unread > MAX_ENVELOPE_BYTES:
            raise BadRequest(
                "Your stream is too big. Reduce the frame size and try your request again."
            )


def _audio_in(payload: bytes) -> bytes:
    """Return the audio of an envelope.

    Raises:
        BadRequest: it does not hold exactly one AudioEvent.
    """
    events = read_messages(payload)
    if len(events) != 1:
        raise BadRequest("An envelope must hold one complete event.")
    return read_audio_event(events[0])


def _buffer() -> EventStreamBuffer:
    return EventStreamBuffer()  # type: ignore[no-untyped-call]  # the SDK leaves it so


def _complete(buffer: EventStreamBuffer) -> Iterator[EventStreamMessage]:
    """Yield the messages that are complete in `buffer`.

    Raises:
        BadRequest: it holds malformed data.
    """
    messages: Iterable[EventStreamMessage] = buffer
    try:
        for message in messages:
            if message.prelude.payload_length < 0:
                raise BadRequest("The event stream is malformed.")
            yield message
    except (ParserError, KeyError, ValueError, struct.error) as error:
        # The decoder raises the first itself; the others come from malformed headers.
        raise BadRequest("The event stream is malformed.") from error
