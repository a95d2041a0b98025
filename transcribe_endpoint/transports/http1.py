"""The HTTP/1.1 transport: calls of `boto3.client("transcribe")` and its like, as JSON 1.1.

A call is a POST to `/` with the operation in `X-Amz-Target`, signed with its body. Refusals have
Amazon's form: a status, `x-amzn-errortype`, and `__type` and `Message` as JSON.

A caller's use of the server is bounded: a body by `MAX_BODY_BYTES`, a connection by one call and
`CONNECTION_SECONDS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final, cast

import structlog
from aiohttp import web

from transcribe_endpoint.errors import InternalFailure, ServiceError, UnknownOperation
from transcribe_endpoint.signatures import verify_headers
from transcribe_endpoint.streams.session import TranscribeService
from transcribe_endpoint.vocabularies.operations import VocabularyOperations

#: The largest vocabulary as JSON in which each character is escaped, bytes.
MAX_BODY_BYTES: Final = 512 * 1024
#: How long a connection may last, seconds, with its one call.
CONNECTION_SECONDS: Final = 30.0

_CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_TARGET: Final = "Transcribe."

log = structlog.get_logger(__name__)
#: aiohttp's logger, disabled: it quotes the headers of malformed requests, with signatures.
_silent = logging.getLogger(f"{__name__}.aiohttp")
_silent.disabled = True


class TooLarge(ServiceError):
    """The body is longer than any vocabulary."""

    error_type = "RequestEntityTooLargeException"
    status = 413


class Http1:
    """Serves HTTP/1.1 on connections that are handed to it.

    Args:
        service: its secrets verify the calls.
        operations: answers them.
    """

    def __init__(self, service: TranscribeService, operations: VocabularyOperations) -> None:
        self._service = service
        self._operations = operations
        self._server = web.Server(
            self._answer,
            access_log=None,
            logger=_silent,
            auto_decompress=False,  # the signature is over the bytes on the wire
        )

    def adopt(self, transport: asyncio.Transport) -> None:
        """Take over a connection from which nothing was read yet."""
        protocol = self._server()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        asyncio.get_running_loop().call_later(CONNECTION_SECONDS, transport.abort)

    async def close(self) -> None:
        """Cut the connections that are open."""
        await self._server.shutdown(0.0)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            status, error_type, answer = 200, None, await self._call(request)
        except ServiceError as error:
            status, error_type, answer = _refusal(error)
        except Exception:
            log.exception("call_failed")
            status, error_type, answer = _refusal(InternalFailure("The endpoint failed."))
        headers = {"x-amzn-RequestId": str(uuid.uuid4())}
        if error_type is not None:
            headers["x-amzn-ErrorType"] = error_type
        response = web.Response(
            status=status,
            body=json.dumps(answer).encode(),
            content_type=_CONTENT_TYPE,
            headers=headers,
        )
        response.force_close()
        return response

    async def _call(self, request: web.BaseRequest) -> dict[str, object]:
        """Answer a call.

        Raises:
            ServiceError: it is refused.
        """
        body = await _body(request)
        path, _, query = request.raw_path.partition("?")
        verify_headers(
            request.method,
            path,
            query,
            {name.lower(): value for name, value in request.headers.items()},
            secrets=self._service.secrets,
            now=datetime.now(UTC),
            body=body,
        )
        target = request.headers.get("X-Amz-Target", "")
        if request.method != "POST" or path != "/" or not target.startswith(_TARGET):
            raise UnknownOperation(
                "Over HTTP/1.1 there are only calls as JSON here: POST / with X-Amz-Target. "
                "Streams take HTTP/2 or the WebSocket API."
            )
        return await self._operations.call(target.removeprefix(_TARGET), body)


@contextlib.asynccontextmanager
async def serve_http1(
    service: TranscribeService,
    operations: VocabularyOperations,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[int]:
    """Serve calls without TLS inside the context; its value is the port.

    Raises:
        OSError: the port is taken.
    """
    http1 = Http1(service, operations)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Handover(http1), host, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await http1.close()


class _Handover(asyncio.Protocol):
    """Passes a new connection to `Http1`."""

    def __init__(self, http1: Http1) -> None:
        self._http1 = http1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass the connection to `Http1`, which replaces this protocol."""
        self._http1.adopt(cast("asyncio.Transport", transport))


async def _body(request: web.BaseRequest) -> bytes:
    """Return the body of a request.

    Raises:
        TooLarge: it is longer than `MAX_BODY_BYTES`.
    """
    try:
        await request.content.readexactly(MAX_BODY_BYTES + 1)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    raise TooLarge(f"A call may be {MAX_BODY_BYTES} bytes long.")


def _refusal(error: ServiceError) -> tuple[int, str, dict[str, object]]:
    kind = error.error_type
    return error.status, kind, {"__type": kind, "Message": str(error)}
