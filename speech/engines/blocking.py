"""The port of blocking recognisers, and the messages between their process and the service.

A `BlockingModel` is loaded once, in the fork server. Each worker forked from it `open`s one
`BlockingRecogniser` for one stream. Both are plain classes without processes, so tests use them
directly.

The factory of a model runs before the fork. It must not use what does not survive one: threads, and
so the voice activity detector (`speech.vad`), which workers use from `open` on.

On the socket between parent and worker every message is a length (4 bytes, big endian) and a
body. To the worker: first the `RecognitionOptions` as JSON, then PCM; an empty body ends the
stream. From the worker: `Report`s as JSON. JSON rather than pickle, so that a recogniser that is
subverted by its input can send wrong results to the parent, but not run code in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import TypeAdapter

from speech.engines.base import RecognitionOptions, Result
from speech.pcm import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Progress:
    """Audio up to `processed` was consumed; all before `settled` is final. Seconds."""

    processed: float
    settled: float


Event = Result | Progress


class BlockingRecogniser(Protocol):
    """Recognises one stream of PCM (16 kHz, mono, s16le). Its calls block."""

    def accept(self, pcm: bytes, *, is_behind: bool = False) -> Iterable[Event]:
        """Consume audio and return the resulting events, in order.

        Args:
            pcm: the audio. What waits is passed together, up to a second.
            is_behind: a second of audio was waiting. A recogniser that goes on like this will be
                late with its finals.
        """

    def finish(self) -> Iterable[Event]:
        """Return the last events at the end of the stream."""


class BlockingModel(Protocol):
    """A loaded model. Each worker calls `open` once."""

    def open(self, options: RecognitionOptions) -> BlockingRecogniser:
        """Return a recogniser for one stream."""


@dataclass(frozen=True, slots=True)
class Report:
    """One message of a worker.

    It has all events of one call. So when a worker is killed, a final has arrived either together
    with the progress that settles its audio, or not at all.
    """

    events: tuple[Event, ...] = ()
    #: The recogniser has finished the stream; no report follows.
    finished: bool = False
    #: The error that the recogniser raised; no report follows.
    error: str | None = None
    #: Process id of the worker, in its first report.
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The factory of a model as `module:callable`, which is called with `settings`."""

    factory: str
    settings: dict[str, str | int | float | bool | None]


REPORT = TypeAdapter(Report)
OPTIONS = TypeAdapter(RecognitionOptions)
MODEL_SPEC = TypeAdapter(ModelSpec)

#: `Engine.lead_in` of models that cut the stream with a voice activity detector, in whole frames of
#: it. The detector has a memory. When the replay of each of 127 segments of real recordings began
#: without a lead-in, 18 segments were cut elsewhere and 5.8 seconds of speech were lost; with one,
#: 5 were cut elsewhere, and no speech was lost.
DETECTOR_LEAD_IN: Final = 128 * 512 / SAMPLE_RATE

_LENGTH = struct.Struct(">I")
HEADER_BYTES = _LENGTH.size


def frame_message(body: bytes) -> bytes:
    """Return `body` behind its length."""
    return _LENGTH.pack(len(body)) + body


def parse_header(header: bytes | bytearray | memoryview) -> int:
    """Return the length in a header."""
    (length,) = _LENGTH.unpack_from(header)
    return int(length)


class Reader(Protocol):
    """The source of messages, such as a socket's file."""

    def read(self, count: int, /) -> bytes:
        """Return `count` bytes, or fewer at the end. Blocks."""


def read_message(reader: Reader) -> bytes:
    """Read the body of the next message. Blocks.

    Raises:
        EOFError: the other side has closed the socket.
    """
    header = reader.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        raise EOFError
    length = parse_header(header)
    body = reader.read(length)
    if len(body) < length:
        raise EOFError
    return body
