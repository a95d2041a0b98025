"""What waits for a viewer who reads slowly: everything but outdated partials and heartbeats. Pure.

Of each open utterance only the newest partial waits, so a slow line shows what is said now. Finals
are never left out. Messages are looked at only here, for viewers who are behind; for the others
nothing has to be known about a message.
"""

from __future__ import annotations

from typing import Final

#: The most bytes of finals that wait for a viewer, snapshots and translations of finals included.
MOST_FINAL_BYTES: Final = 256 * 1024
#: The most bytes of all messages that wait for a viewer.
MOST_BYTES: Final = 1024 * 1024

#: Fields of messages. Quotes in a text are escaped, so no text has one of these in it.
_TYPE: Final = b'"type":"'
_UTTERANCE: Final = b'"utteranceId":"'
_IS_FINAL: Final = b'"isFinal":true'
#: Kinds of messages that the next one of their utterance replaces.
_REPLACEABLE: Final = frozenset((b"partial", b"translation", b"heartbeat", b"translation_status"))


class Backlog:
    """The messages that wait for one viewer, in the order in which they are sent."""

    def __init__(self) -> None:
        #: By kind and utterance, where a newer message replaces it; by a number where none does.
        self._waiting: dict[tuple[bytes, bytes] | int, bytes] = {}
        self._count = 0
        self._final_bytes = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the viewer has to be disconnected."""
        return self._final_bytes > MOST_FINAL_BYTES or self.bytes > MOST_BYTES

    def add(self, frame: bytes) -> None:
        """Add an encoded message, in place of those that it makes outdated."""
        kind = _value_of(_TYPE, frame)
        key: tuple[bytes, bytes] | int
        same = (b"partial" if kind == b"final" else kind, _value_of(_UTTERANCE, frame))
        self._remove(same)
        if kind in _REPLACEABLE and _IS_FINAL not in frame:
            key = same
        else:
            self._count += 1
            key = self._count
            self._final_bytes += len(frame)
        self._waiting[key] = frame
        self.bytes += len(frame)

    def take(self) -> bytes:
        """Remove and return the message that is sent next."""
        key = next(iter(self._waiting))
        frame = self._waiting[key]
        self._remove(key)
        return frame

    def _remove(self, key: tuple[bytes, bytes] | int) -> None:
        frame = self._waiting.pop(key, None)
        if frame is not None:
            self.bytes -= len(frame)
            if isinstance(key, int):
                self._final_bytes -= len(frame)


def _value_of(field: bytes, frame: bytes) -> bytes:
    """Return the text in a field, the first one of that name; nothing where there is none."""
    begin = frame.find(field)
    if begin < 0:
        return b""
    begin += len(field)
    return frame[begin : frame.index(b'"', begin)]
