"""What every request passes before anything else: the door, and what operators want to know of it.

It stands before the body is read, so that nobody who may not use the server can make it read one.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpu_server.access import OPEN, Door
from gpu_server.problems import MEDIA_TYPE, InvalidRequest, Problem
from gpu_server.telemetry import Metrics

#: The longest body of a request that uploads nothing, bytes.
MAX_BODY_BYTES: Final = 64 * 1024

log = structlog.get_logger(__name__)


def problem_response(problem: Problem) -> Response:
    """Return a problem as a response."""
    return Response(
        problem.document.model_dump_json(by_alias=True),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


class Guard:
    """See the module. `uploads` are the paths whose bodies bound themselves."""

    def __init__(
        self, app: ASGIApp, *, door: Door, metrics: Metrics, routes: frozenset[str], uploads: str
    ) -> None:
        self._app = app
        self._door = door
        self._metrics = metrics
        self._routes = routes
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
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
                self._door.admit(path, Headers(scope=scope))
            except Problem as problem:
                await problem_response(problem)(scope, receive, sending)
                return
            bounded = receive if path == self._uploads else _bounded(receive)
            await self._app(scope, bounded, sending)
        finally:
            route = path if path in self._routes else "other"
            self._metrics.requests.labels(route, str(status)).inc()
            if path not in OPEN:
                seconds = round(time.monotonic() - began, 3)
                log.info("request", route=route, status=status, seconds=seconds)


def _bounded(receive: Receive) -> Receive:
    """Return `receive` for a body of at most `MAX_BODY_BYTES`."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise InvalidRequest(f"The body has more than {MAX_BODY_BYTES} bytes.")
        return message

    return receiving
