"""Which requests reach the emulator, which checks no credentials."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from local_cloud.emulator.pages import without_foreign_pages

pytestmark = pytest.mark.unit


def ask(kind: str = "http", **headers: str) -> list[dict[str, Any]]:
    """Return what is sent for a request."""
    sent: list[Any] = []

    async def application(_scope: object, _receive: object, send: Any) -> None:
        await send({"type": "answered"})

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "headers": encoded}

    async def main() -> None:
        await without_foreign_pages(application)(scope, receive, send)

    asyncio.run(main())
    return sent


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "127.0.0.1:4566"},
        {"host": "[::1]:4566"},
        {"host": "bucket.s3.localhost:4566"},
        {"host": "localhost", "origin": "http://127.0.0.1:8080"},
    ],
)
def test_programs_and_pages_of_this_machine_are_answered(headers: dict[str, str]) -> None:
    assert ask(**headers) == [{"type": "answered"}]
    assert ask("websocket", **headers) == [{"type": "answered"}]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1", "origin": "https://evil.example"},
        {"host": "127.0.0.1", "origin": "https://127.0.0.1.evil.example"},
        {"host": "127.0.0.1", "origin": "https://evil.example/127.0.0.1"},
        {"host": "127.0.0.1", "origin": "null"},
        {"host": "evil.example"},
        {"host": "evillocalhost", "origin": "http://evillocalhost"},
        {"host": "["},
        {"host": ""},
    ],
)
def test_foreign_pages_are_refused(headers: dict[str, str]) -> None:
    assert ask(**headers)[0]["status"] == 403
    assert ask("websocket", **headers) == [{"type": "websocket.close", "code": 1008}]


def test_the_start_is_not_in_question() -> None:
    assert ask("lifespan") == [{"type": "answered"}]
