"""A client of the GPU server that turns each response into an answer of `lambdas.router.decide`.

Its methods do not raise: a server that cannot be reached is an answer, too. Redirects are not
followed, because the token would be sent along.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.response import BaseHTTPResponse

from lambdas.router.decide import Answer, NoAnswer, ServerHealth, TryLater, parse_response

#: Timeout of `GET /health`, seconds; it is answered at once even under full load.
HEALTH_SECONDS: Final = 1.0
#: Timeout of a connection, seconds.
CONNECT_SECONDS: Final = 2.0
#: The most that is read of a response, bytes.
MOST: Final = 65_536

_OK: Final = 200


class _Queue(BaseModel):
    model_config = ConfigDict(frozen=True)

    waiting: int
    running: int
    limit: int

    @property
    def full(self) -> bool:
        """Whether another recording would be refused; at a limit of 0 one may still run."""
        return self.running > 0 and self.waiting >= self.limit


class _Health(BaseModel):
    """The part of `GET /health` that matters; see `gpu_server`."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    queue: _Queue


class GpuServerClient:
    """A client of the server at `url`, e.g. `http://transcriber.internal:8000`.

    Connections are kept from one invocation to the next. One that the server has closed meanwhile,
    or that the network has forgotten (after 350 s without a packet on AWS's newer machines), is
    noticed only when it is used: it ends in a reset, or in silence. A health check that ends so is
    repeated once on a new connection.
    """

    def __init__(self, url: str, token: str | None, *, pool: PoolManager | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = pool or PoolManager(maxsize=1, retries=False)

    def health(self) -> ServerHealth:
        """Ask the server for its health; takes at most two seconds."""
        try:
            try:
                response = self._ask_health()
            except (ProtocolError, ReadTimeoutError):
                response = self._ask_health()
            body = response.read(MOST)
            response.release_conn()
        except HTTPError:
            return ServerHealth.DOWN
        if response.status != _OK:
            return ServerHealth.NOT_READY
        try:
            health = _Health.model_validate_json(body)
        except ValidationError:
            return ServerHealth.NOT_READY
        if not health.ready:
            return ServerHealth.NOT_READY
        return ServerHealth.FULL if health.queue.full else ServerHealth.READY

    def transcribe(self, bucket: str, key: str, *, seconds: float) -> Answer:
        """Have a recording transcribed; the server stores the transcript in the bucket.

        Args:
            bucket: where the recording is.
            key: which it is.
            seconds: how long to wait for the answer.
        """
        path = f"s3://{bucket}/{key}"
        try:
            response = self._request(
                "POST",
                "/transcribe-s3",
                body=json.dumps({"s3_input_path": path, "return_text": False}).encode(),
                headers={"Content-Type": "application/json", **self._headers},
                timeout=Timeout(connect=min(CONNECT_SECONDS, seconds), read=seconds),
            )
        except (NewConnectionError, ConnectTimeoutError):
            return TryLater()
        except HTTPError:
            return NoAnswer()
        # The status says all. A body that comes slowly is not waited for, so the connection goes.
        response.close()
        return parse_response(response.status, response.headers.get("Retry-After"))

    def _ask_health(self) -> BaseHTTPResponse:
        return self._request("GET", "/health", timeout=Timeout(HEALTH_SECONDS))

    def _request(self, method: str, path: str, **how: Any) -> BaseHTTPResponse:
        return self._pool.request(
            method,
            f"{self._url}{path}",
            retries=False,
            redirect=False,
            preload_content=False,
            **how,
        )
