"""The middleware that every request passes first: authentication, limits, metrics and the log.

It runs before the body is read, so that callers who may not use the server cannot make it read
one. It reads the bodies of requests that upload nothing itself: they are small and have to be
complete soon.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.fair_slots import FairSlots
from gpu_server.http.access import OPEN, Authenticator
from gpu_server.problems import MEDIA_TYPE, Busy, InvalidRequest, Problem, RequestStalled
from gpu_server.telemetry import Metrics

#: The longest body of a request that uploads nothing, bytes.
MAX_BODY_BYTES: Final = 64 * 1024
#: The key in the scope of a request that was admitted and counted.
IN_WORK: Final = "gpu_server.in_work"

log = structlog.get_logger(__name__)


def problem_response(problem: Problem) -> Response:
    """Return a problem as a response."""
    return Response(
        problem.document.model_dump_json(by_alias=True),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


class AdmissionMiddleware:
    """See the module.

    Args:
        app: the application behind it.
        authenticator: decides who may use it.
        metrics: counts the requests.
        routes: the paths that exist.
        uploads: the one of them whose bodies have limits of their own.
        requests: requests at a time; those to `OPEN` do not count.
        body_seconds: time for the body of a request that uploads nothing.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        metrics: Metrics,
        routes: frozenset[str],
        uploads: str,
        requests: int,
        body_seconds: float,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._metrics = metrics
        self._routes = routes
        self._uploads = uploads
        self._requests = FairSlots(requests)
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        status = 500
        began = time.monotonic()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            try:
                self._authenticator.authenticate(path, Headers(scope=scope))
                await self._pass(path, scope, receive, sending)
            except Problem as problem:
                await problem_response(problem)(scope, receive, sending)
        finally:
            route = path if path in self._routes else "other"
            self._metrics.requests.labels(route, str(status)).inc()
            if path not in OPEN:
                seconds = round(time.monotonic() - began, 3)
                log.info("request", route=route, status=status, seconds=seconds)

    async def _pass(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on an authenticated request within the limits.

        Raises:
            Busy: too many requests are in work.
            InvalidRequest: the body is too long.
            RequestStalled: the body is not complete in time.
        """
        if path in OPEN or path not in self._routes:  # nobody reads a body
            await self._app(scope, receive, send)
            return
        caller = (scope.get("client") or ("",))[0]
        if not self._requests.take(caller):
            raise Busy(f"{self._requests.taken} requests are in work.", retry_after=1)
        scope[IN_WORK] = True
        try:
            if path != self._uploads:
                receive = _replay(await self._small_body(receive), receive)
            await self._app(scope, receive, send)
        finally:
            self._requests.release(caller)

    async def _small_body(self, receive: Receive) -> list[Message]:
        """Return the messages of a body; raise what `_pass` lists."""
        messages: list[Message] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_seconds):
                while not messages or messages[-1].get("more_body"):
                    messages.append(await receive())
                    size += len(messages[-1].get("body", b""))
                    if size > MAX_BODY_BYTES:
                        raise InvalidRequest(f"The body has more than {MAX_BODY_BYTES} bytes.")
        except TimeoutError:
            raise RequestStalled(
                f"The body was not complete within {self._body_seconds:g} seconds."
            ) from None
        return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    """Return a `receive` that first repeats messages that were received before."""
    left = iter(messages)

    async def receiving() -> Message:
        for message in left:
            return message
        return await receive()

    return receiving
