"""A hostile service, and the client on a real terminal (a pseudo-terminal)."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from client.errors import ExitCode
from tests.support.recordings import wav

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
#: Clears the screen, sets the title, goes up a line, turns the writing, forges a line.
HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\x9b1A\u202ed\r\nForged: line\x00\u2028"
PARTIAL = {
    "utteranceId": "u1",
    "speaker": "Ann",
    "language": "en-US",
    "startTime": 0.0,
    "endTime": 1.0,
    "text": HOSTILE,
    "words": [],
    "seq": 1,
}


def utterance(**fields: Any) -> dict[str, Any]:
    return PARTIAL | {"conversationId": "talk", "timestamp": "2026-11-20T17:00:00.000Z"} | fields


async def connect(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    first = {"type": "snapshot", "conversationId": "talk", "utterances": [], "seq": 0}
    messages = [first | {"complete": True}, {"type": "final"} | utterance()]
    # A code that only a newer service knows ends the client.
    messages.append({"type": "error", "code": HOSTILE, "message": HOSTILE, "retryable": False})
    for each in messages:
        await socket.send_str(json.dumps(each, ensure_ascii=False))
    async for message in socket:
        if message.type is WSMsgType.CLOSE:
            break
    return socket


async def refuse(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    error = {"type": "error", "code": HOSTILE, "message": HOSTILE, "retryable": False}
    await socket.send_json(error)
    await socket.close()
    return socket


async def languages(_: web.Request) -> web.Response:
    names = [HOSTILE]
    return web.json_response(
        {"engine": HOSTILE, "recognition": names, "translation": names, "translator": HOSTILE}
    )


@pytest.fixture
async def url() -> AsyncIterator[str]:
    service = web.Application()
    service.router.add_get("/api/stt/connect", connect)
    service.router.add_get("/api/stt/transcribe", refuse)
    service.router.add_get("/api/stt/languages", languages)
    runner = web.AppRunner(service, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run the client on a terminal that knows no progress bar; return all that it received."""
    ours, theirs = pty.openpty()
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "client",
        *arguments,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=os.environ | {"TERM": "dumb", "PYTHONUTF8": "1"},
    )
    os.close(theirs)
    received = asyncio.create_task(asyncio.to_thread(_read, ours))
    code = await client.wait()
    return code, (await received).decode()


def _read(terminal: int) -> bytes:
    content = b""
    try:
        while piece := os.read(terminal, 65_536):
            content += piece
    except OSError:  # Linux: the other side was closed
        pass
    os.close(terminal)
    return content


@pytest.mark.parametrize("command", ["watch", "watch --json", "languages", "languages --json"])
async def test_a_service_cannot_command_the_terminal(url: str, command: str) -> None:
    name, *options = command.split()
    what = ["talk"] if name == "watch" else []

    code, shown = await on_a_terminal(name, *what, *options, "--url", url)

    assert code == (ExitCode.REFUSED if name == "watch" else ExitCode.OK), shown
    lines = shown.replace("\r\n", "\n").split("\n")
    assert all(line.isprintable() for line in lines), lines
    assert not any(line.startswith("Forged") for line in lines)
    assert "title" in shown, "it is shown, only not obeyed"


async def test_a_refusal_cannot_command_the_terminal(url: str, tmp_path: Path) -> None:
    path = wav(tmp_path / "talk.wav", bytes(1_600), sample_rate=8_000)

    code, shown = await on_a_terminal("stream", str(path), "--url", url)

    assert code == ExitCode.REFUSED, shown
    message = shown[shown.index("title") :]
    assert not set("\x07\x9b\x00\u202e\u2028") & set(shown)
    assert message.replace("\r\n", "\n").rstrip("\n").isprintable(), message
