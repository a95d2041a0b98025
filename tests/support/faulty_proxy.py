"""A proxy in front of the GPU server that makes calls fail in every usual way."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from enum import StrEnum

import aiohttp
from aiohttp import web

from tests.support.demo import free_port

#: The delay of a slow response, seconds.
SLOW = 1.5


class Fault(StrEnum):
    NONE = "none"
    ERROR = "500, nothing done"
    ERROR_AFTER = "500, though it is done"
    RESET = "reset, nothing done"
    RESET_AFTER = "reset, though it is done"
    SLOW = "slow"
    SILENT = "no answer at all"


#: The faults of a hundred calls for a transcript.
SHARES = {
    Fault.NONE: 70,
    Fault.ERROR: 7,
    Fault.ERROR_AFTER: 6,
    Fault.RESET: 6,
    Fault.RESET_AFTER: 6,
    Fault.SLOW: 3,
    Fault.SILENT: 2,
}


class FaultyProxy:
    """Forwards requests to `server`, some with a fault; counts the faults of transcript calls."""

    def __init__(self, server: str, *, seed: int = 5) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.calls: Counter[Fault] = Counter()
        self._server = server
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._over = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        async with aiohttp.ClientSession() as self._session:
            try:
                yield
            finally:
                self._over.set()
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        fault = Fault.NONE
        if request.path == "/transcribe-s3":
            [fault] = self._chance.choices(list(SHARES), list(SHARES.values()))
            self.calls[fault] += 1
        if fault is Fault.ERROR:
            return web.Response(status=500)
        if fault is Fault.RESET:
            return _reset(request)
        if fault is Fault.SILENT:
            await self._over.wait()
            return _reset(request)
        answer = await self._pass_on(request)
        if fault is Fault.ERROR_AFTER:
            return web.Response(status=500)
        if fault is Fault.RESET_AFTER:
            return _reset(request)
        if fault is Fault.SLOW:
            await asyncio.sleep(SLOW)
        return answer

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() in ("authorization", "content-type")
        }
        try:
            async with self._session.request(
                request.method,
                f"{self._server}{request.path}",
                data=await request.read(),
                headers=headers,
            ) as answer:
                kept = {n: v for n, v in answer.headers.items() if n.lower() == "retry-after"}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except aiohttp.ClientError:
            return _reset(request)


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
