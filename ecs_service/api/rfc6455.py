"""What RFC 6455 asks of a client's frames, as far as picows leaves it to us.

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

#: Codes that a close frame may carry (section 7.4.1 and IANA's registry); the rest is reserved.
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


class Violation(Exception):
    """A client broke RFC 6455; the connection has to be failed with `close_code`."""

    def __init__(self, close_code: int) -> None:
        super().__init__(f"close code {close_code}")
        self.close_code = close_code


class MessageTooLong(Exception):
    """The frames of a message hold more than `MAX_FRAME_BYTES`."""


class Messages:
    """Puts messages together from frames (section 5.4), and holds at most one unfinished one."""

    __slots__ = ("_decoder", "_parts", "unfinished")

    def __init__(self) -> None:
        self._parts = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        #: Which kind of message more frames are expected of.
        self.unfinished: MessageKind | None = None

    def add(
        self,
        kind: FrameKind,
        payload: bytes | memoryview,
        *,
        fin: bool,
    ) -> tuple[MessageKind, bytes] | None:
        """Take one frame; return the kind and content of the message if this is its last.

        Raises:
            Violation: the frames of two messages are mixed, or a text is not UTF-8 (which is
                noticed at the first byte that is wrong).
            MessageTooLong: the message is.
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
    """Return the code of the close frame that answers one with this payload (section 5.5.1)."""
    if not payload or int.from_bytes(payload[:2]) in _CLOSE_CODES:
        return CLOSE_NORMAL
    return CLOSE_PROTOCOL_ERROR
