"""Bytes on the wire, by the SDK's codec and models.

Format: `vnd.amazon.eventstream`, a prelude of two lengths and their CRC, headers, payload, CRC.
"""

from __future__ import annotations

import json
import struct
import zlib
from functools import lru_cache

from amazon_transcribe.deserialize import TranscribeStreamingEventParser
from amazon_transcribe.eventstream import (
    EventStreamBuffer,
    EventStreamMessage,
    EventStreamMessageSerializer,
    ParserError,
)
from amazon_transcribe.model import AudioEvent, Result, TranscriptEvent
from amazon_transcribe.serialize import AudioEventSerializer

from speech.engines.errors import EngineError
from speech.engines.transcribe.errors import UnreadableEvent, to_engine_error

_CRC = struct.Struct("!I")
_CRC_BYTES = 4
_parser = TranscribeStreamingEventParser()


def encode_audio(pcm: bytes) -> bytes:
    """Return the message of an AudioEvent; an empty one ends the stream.

    Events of one length differ in the audio and one CRC only. Measured with CPython
    3.11: the SDK takes 18 us for an event of 100 ms, this 3 us, 2 of which are the CRC.
    """
    head, crc = _head(len(pcm))
    return b"".join((head, pcm, _CRC.pack(zlib.crc32(pcm, crc))))


@lru_cache(maxsize=64)  # there are few lengths
def _head(size: int) -> tuple[bytes, int]:
    """Return the SDK's bytes before a payload of `size` bytes, and their CRC."""
    headers, payload = AudioEventSerializer().serialize(AudioEvent(bytes(size)))
    message: bytes = EventStreamMessageSerializer().serialize(headers, payload)
    head = message[: len(message) - size - _CRC_BYTES]
    return head, zlib.crc32(head)


def decode(message: bytes) -> list[Result]:
    """Return the results in one WebSocket message; empty for an event of another kind.

    Raises:
        EngineError: the service reports an error.
        UnreadableEvent: it is incomplete, damaged, or not in the service's form.
    """
    problem: EngineError
    try:
        return _results(message)
    except EngineError:
        raise
    except (ParserError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        # Not `from` the error, whose text may quote the speech.
        problem = UnreadableEvent(f"Amazon Transcribe sent what cannot be read: {_kind(error)}")
    except RecursionError:
        problem = UnreadableEvent("Amazon Transcribe sent what is nested too deeply")
    raise problem


def _kind(error: Exception) -> str:
    return type(error).__name__


def _results(message: bytes) -> list[Result]:
    buffer = EventStreamBuffer()  # type: ignore[no-untyped-call]  # the SDK's
    buffer.add_data(message)
    results: list[Result] = []
    consumed = 0
    for event in buffer:
        consumed += event.prelude.total_length
        if event.headers.get(":message-type") in {"exception", "error"}:
            raise _exception(event)
        parsed = _parser.parse(event)
        if isinstance(parsed, TranscriptEvent):
            results += parsed.transcript.results
    if consumed != len(message):
        raise ValueError("truncated")
    return results


def _exception(event: EventStreamMessage) -> EngineError:
    """Convert an error event.

    The SDK's parser is not used: it looks up the service's name among all names of its module.
    """
    headers = event.headers
    kind = headers.get(":exception-type") or headers.get(":error-code") or ""
    text = headers.get(":error-message") or ""
    try:
        body = json.loads(event.payload)  # type: ignore[arg-type]  # it is bytes
        text = body.get("Message") or body.get("message") or text
    except (ValueError, AttributeError):
        pass
    return to_engine_error(str(kind), str(text))
