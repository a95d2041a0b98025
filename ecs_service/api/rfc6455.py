"""Checks a client's frames against RFC 6455, where picows does not.

picows checks opcodes, masks, lengths, the size of control frames, and the reason in a close frame.
"""

from __future__ import annotations

import codecs
from typing import Literal

from transcripts.protocol import (
    CLOSE_INVALID_TEXT,
    CLOSE_NORMAL,
    CLOSE_PROTOCOL_ERROR,
    MAX_FRAME_BYTES,
)

MessageKind = Literal["text", "binary"]
FrameKind = Literal[MessageKind, "continuation"]

_new_decoder = codecs.getincrementaldecoder("utf-8")

#: Codes that a close frame may have (section 7.4.1 and IANA's registry); others are reserved.
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


class Violation(Exception):
    """A client violated RFC 6455; the connection must be failed with `close_code`."""

    def __init__(self, close_code: int) -> None:
        super().__init__(f"close code {close_code}")
        self.close_code = close_code


class MessageTooLong(Exception):
    """The frames of a message have more than `MAX_FRAME_BYTES` together."""


class Assembler:
    """Assembles messages from frames (section 5.4); at most one message is unfinished."""

    __slots__ = ("_decoder", "_parts", "unfinished")

    def __init__(self) -> None:
        self._parts = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        #: The kind of the unfinished message.
        self.unfinished: MessageKind | None = None

    def add(
        self, kind: FrameKind, payload: bytes | memoryview, *, fin: bool
    ) -> tuple[MessageKind, bytes] | None:
        """Add one frame; return the kind and content of the message if this is its last frame.

        Raises:
            Violation: the frames of two messages are mixed, or a text is not UTF-8 (raised at the
                first wrong byte).
            MessageTooLong: the message is too long.
        """
        if (kind == "continuation") != (self.unfinished is not None):
            raise Violation(CLOSE_PROTOCOL_ERROR)
        if len(self._parts) + len(payload) > MAX_FRAME_BYTES:
            raise MessageTooLong
        if kind != "continuation":
            self.unfinished = kind
            self._decoder = _new_decoder() if kind == "text" else None
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, fin)
            except UnicodeDecodeError:
                raise Violation(CLOSE_INVALID_TEXT) from None
        self._parts += payload
        if not fin or self.unfinished is None:
            return None
        message = (self.unfinished, bytes(self._parts))
        self._parts.clear()
        self.unfinished = self._decoder = None
        return message


def answer_to_close(payload: bytes) -> int:
    """Return the close code to answer a close frame with this payload (section 5.5.1)."""
    if not payload or int.from_bytes(payload[:2]) in _CLOSE_CODES:
        return CLOSE_NORMAL
    return CLOSE_PROTOCOL_ERROR
