"""Builds and reads raw WebSocket frames (RFC 6455), for what well-behaved clients never send."""

from __future__ import annotations

import asyncio
from typing import Final

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
#: Length codes, and how many bytes with the actual length follow (RFC 6455 section 5.2).
_LONG: Final = {126: 2, 127: 8}


def handshake(
    target: bytes, connection: bytes = b"Upgrade", version: bytes | None = b"13"
) -> bytes:
    """Return the request of a WebSocket handshake."""
    head = (
        b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: %s\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ) % (target, connection)
    return head + (b"Sec-WebSocket-Version: %s\r\n" % version if version else b"") + b"\r\n"


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Return a client's frame, masked with zeros; `opcode` may include reserved bits."""
    head = bytes([(0x80 if fin else 0) | opcode])
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2)
    return head + length + bytes(4) + payload


async def incoming(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read a server's frame; return its opcode and payload.

    Raises:
        ValueError: it is a fragment, or has a reserved bit set.
        asyncio.IncompleteReadError: the connection ended.
    """
    first, size = await reader.readexactly(2)
    if first & 0xF0 != 0x80:
        raise ValueError(f"not a server's frame: {first:#x}")
    if size in _LONG:
        size = int.from_bytes(await reader.readexactly(_LONG[size]))
    return first & 0x0F, await reader.readexactly(size)
