"""Amazon's SDK for JavaScript, unmodified, as tests ask it for streams: tests/aws_sdk_js/."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from transcribe_endpoint.recognition.script import Script
from transcribe_endpoint.streams.session import StreamQuota, TranscribeService

HERE = Path(__file__).parents[1] / "aws_sdk_js"
KEY, SECRET = "AKIDEXAMPLE", "a-secret"
#: The texts of a stream of `WHOLE` seconds, to its end.
SCRIPT = ["One two three.", "Four five six."]
WHOLE = 2.9
#: Seconds for the next result; a machine may be busy.
PATIENCE = 20.0

Run = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def transcribe(**settings: Any) -> TranscribeService:
    """Return a service that sends `SCRIPT` to callers with the key."""
    settings.setdefault("recogniser", Script.of_text("\n".join(SCRIPT)))
    limits = StreamQuota(starts_per_second=100)
    return TranscribeService(secrets={KEY: SECRET}, limits=limits, **settings)


def installed() -> None:
    """Skip where the SDK is not set up."""
    if not (HERE.parents[1] / "node_modules" / "@aws-sdk").is_dir():
        pytest.skip("Amazon's SDK for JavaScript is not set up: make setup-test")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the SDK made of a stream."""

    results: list[dict[str, Any]]
    #: The name of the exception that ended it, its message, and the status of the response.
    error: str | None
    message: str | None
    status: int | None
    session: str | None

    @property
    def texts(self) -> list[str]:
        return [result["text"] for result in self.results]

    @property
    def finals(self) -> list[str]:
        return [result["text"] for result in self.results if not result["partial"]]


@dataclass(frozen=True, slots=True)
class Sdk:
    """Streams through the SDK."""

    endpoint: str
    run: Run

    async def stream(
        self,
        *,
        fault: str = "",
        seconds: float = 1.0,
        audio: bytes = b"",
        size: int = 1024,
        end: str = "sdk",
        secret: str = SECRET,
        token: str | None = None,
        patience: float = PATIENCE,
        **options: Any,
    ) -> Outcome:
        """Stream, see stream.mjs for what can be wanted; `options` are of the SDK's command."""
        if fault:
            options["VocabularyName"] = f"fault-{fault}"
        wanted = {
            "endpoint": self.endpoint,
            "key": KEY,
            "secret": secret,
            "token": token,
            "options": options,
            "seconds": seconds,
            "audio": base64.b64encode(audio).decode(),
            "size": size,
            "end": end,
            "patience": patience,
        }
        return Outcome(**await self.run(wanted))


@contextlib.asynccontextmanager
async def node(authority: Path) -> AsyncIterator[Run]:
    """Start Node, trusting `authority`; it streams as often as it is asked to, also at once."""
    child = await asyncio.create_subprocess_exec(
        "node",
        HERE / "node.mjs",
        stdin=PIPE,
        stdout=PIPE,
        limit=1 << 20,
        env=os.environ
        | {
            "NODE_EXTRA_CA_CERTS": str(authority),
            "AWS_CONFIG_FILE": os.devnull,  # nobody's own settings
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        },
    )
    assert child.stdin is not None
    assert child.stdout is not None
    output = child.stdout
    requests, numbers = child.stdin, itertools.count()
    waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def read() -> None:
        async for line in output:
            answer = json.loads(line)
            waiting.pop(answer["number"]).set_result(answer["outcome"])
        for outcome in waiting.values():
            outcome.set_exception(ConnectionError("Node has ended"))

    async def run(wanted: dict[str, Any]) -> dict[str, Any]:
        number = next(numbers)
        waiting[number] = asyncio.get_running_loop().create_future()
        requests.write(json.dumps({"number": number, "wanted": wanted}).encode() + b"\n")
        return await waiting[number]

    reading = asyncio.create_task(read())
    try:
        yield run
    finally:
        requests.close()
        try:
            await asyncio.wait_for(child.wait(), PATIENCE)
        except TimeoutError:
            child.kill()
            await child.wait()
        await reading
