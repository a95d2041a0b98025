"""The port for recognisers that block, and the messages that carry them across a process.

A `BlockingModel` is loaded once, in the fork server; each worker forked from it `open`s one
`BlockingRecogniser` for one stream. Neither knows of processes: both are plain classes that can
be used and tested in line.

On the socket between parent and worker every message is a length (4 bytes, big endian) and a
body. To the worker: first the `RecognitionOptions` as JSON, then PCM; an empty body ends the
stream. From the worker: `Report`s as JSON. JSON and not pickle, so that a recogniser that was
subverted by its input could lie to the parent, but not run code in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from pydantic import TypeAdapter

from speech.engines.base import RecognitionOptions, Result


@dataclass(frozen=True, slots=True)
class Progress:
    """Audio up to `processed` was consumed; before `settled` all is said. Seconds."""

    processed: float
    settled: float


Event = Result | Progress


class BlockingRecogniser(Protocol):
    """Recognises one stream of PCM (16 kHz, mono, s16le); calls take as long as they take."""

    def accept(self, pcm: bytes) -> Iterable[Event]:
        """Consume audio and return what follows from it, in order."""

    def finish(self) -> Iterable[Event]:
        """Return what is left to say at the end of the stream."""


class BlockingModel(Protocol):
    """A loaded model; `open` is called once in each worker."""

    def open(self, options: RecognitionOptions) -> BlockingRecogniser:
        """Return a recogniser for one stream."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells at once.

    All events of one call travel in one report. So when a worker is killed, a final has either
    arrived together with the progress that settles its audio, or not at all.
    """

    events: tuple[Event, ...] = ()
    #: The recogniser has finished the stream; nothing follows.
    finished: bool = False
    #: The recogniser raised this; nothing follows.
    error: str | None = None
    #: Process id of the worker, in its first report.
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Where a model comes from: `module:callable`, which is called with `settings`."""

    factory: str
    settings: dict[str, str | int | float | bool | None]


REPORT = TypeAdapter(Report)
OPTIONS = TypeAdapter(RecognitionOptions)
MODEL_SPEC = TypeAdapter(ModelSpec)

_LENGTH = struct.Struct(">I")
HEADER_BYTES = _LENGTH.size


def framed(body: bytes) -> bytes:
    """Return `body` with its length in front."""
    return _LENGTH.pack(len(body)) + body


def body_length(header: bytes | bytearray | memoryview) -> int:
    """Return the length that a header announces."""
    (length,) = _LENGTH.unpack_from(header)
    return int(length)
