"""Keeps foreign web pages from the emulator.

The emulator checks no credentials and allows pages of every origin (CORS), so a page on the
internet that finds its port could read and change what is stored on this machine. Programs send no
`Origin`. A page whose name was made to resolve to this machine (DNS rebinding) is known by its
`Host`.

This module imports nothing of the tree, because it runs in the emulator's process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

#: Names that lead to this machine only; browsers resolve those below `localhost` by themselves.
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
REFUSAL: Final = b"The emulator answers to programs and pages of this machine only.\n"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def without_foreign_pages(application: Application) -> Application:
    """Wrap an ASGI application: answer foreign pages with 403."""

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or is_of_this_machine(scope["headers"]):
            await application(scope, receive, send)
        elif scope["type"] == "http":
            headers = [
                (b"content-type", b"text/plain"),
                (b"content-length", str(len(REFUSAL)).encode()),
            ]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSAL})
        else:
            await send({"type": "websocket.close", "code": 1008})

    return wrapper


def is_of_this_machine(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request with these headers comes from this machine's programs or pages."""
    for name, value in headers:
        text = value.decode("latin-1")
        if name.lower() == b"host" and not _is_loopback(f"//{text}"):
            return False
        if name.lower() == b"origin" and not _is_loopback(text):
            return False
    return True


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in LOOPBACK or host.endswith(".localhost")
