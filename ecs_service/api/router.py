"""Routes a request to a WebSocket protocol or to an HTTP endpoint, after access and rate checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus

import structlog
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from ecs_service import telemetry
from ecs_service.access.edge import AccessPolicy, Forbidden
from ecs_service.api.acceptor import AcceptedConnection, PendingConnections
from ecs_service.api.connection import Connection
from ecs_service.api.requests import HttpRequest, HttpResponse, text_response
from ecs_service.limits.callers import Caller, CallerLimits, TooManyFailures, caller_key
from ecs_service.refusal import Refusal
from transcripts.protocol import ErrorCode

#: RFC 6455's.
WEBSOCKET_VERSION = "13"

#: Makes the connection that serves a request.
OpenSocket = Callable[[HttpRequest, Caller], Connection]

log = structlog.get_logger(__name__)


class RequestRouter:
    """Finds the handler of a path. Sockets are limited by the caller's address, HTTP routes not.

    `refused` makes the connection that sends a client a refusal and closes.
    """

    def __init__(
        self,
        *,
        socket_routes: Mapping[str, OpenSocket],
        refused: Callable[[Refusal, Caller], Connection],
        http_routes: Mapping[str, Callable[[], HttpResponse]],
        access: AccessPolicy,
        callers: CallerLimits,
        address_header: str | None,
        pending: PendingConnections,
    ) -> None:
        self._socket_routes = socket_routes
        self._refused = refused
        self._http_routes = http_routes
        self._access = access
        self._caller_limits = callers
        self._address_header = address_header
        self.pending = pending

    def __call__(
        self, raw: WSUpgradeRequest, connection: AcceptedConnection
    ) -> Connection | WSUpgradeResponseWithListener:
        """Return the connection that serves a request, or the HTTP response to it."""
        try:
            found = self._route(HttpRequest.parse(raw.path, raw.headers), connection)
        except Forbidden as error:
            found = text_response(f"{error}\n", HTTPStatus.FORBIDDEN)
        except ValueError:
            found = text_response("This is not a request.\n", HTTPStatus.BAD_REQUEST)
        except Exception:
            log.exception("request_failed")
            found = text_response(
                "The service failed; this was logged.\n", HTTPStatus.INTERNAL_SERVER_ERROR
            )
        if not isinstance(found, Connection):
            return _to_picows(found)
        upgrades = raw.headers.get("Connection", "").lower()
        if "upgrade" in (token.strip() for token in upgrades.split(",")):
            # picows, which checks it after us, does not parse a list of tokens; Firefox sends one.
            raw.headers["Connection"] = "Upgrade"
        return found

    def _route(
        self, request: HttpRequest, connection: AcceptedConnection
    ) -> Connection | HttpResponse:
        self._access.authorise(request.headers)
        endpoint = self._http_routes.get(request.path)
        if endpoint is not None:
            return endpoint()
        open_socket = self._socket_routes.get(request.path)
        if open_socket is None:
            return text_response("There is nothing here.\n", HTTPStatus.NOT_FOUND)
        return _reject_non_upgrade(request) or self._open(open_socket, request, connection)

    def _open(
        self, open_socket: OpenSocket, request: HttpRequest, connection: AcceptedConnection
    ) -> Connection | HttpResponse:
        """Return the connection, or the refusal if the address exceeds its limits."""
        address = caller_key(request.headers, self._address_header, connection.peer)
        caller = Caller(address, connection, self._caller_limits)
        try:
            self._caller_limits.count_connection(address)
        except TooManyFailures as error:
            # No 5xx: see `ecs_service.api.health`.
            telemetry.refusals.labels(ErrorCode.RATE_LIMITED.value).inc()
            wait = str(math.ceil(error.retry_after))
            return text_response(
                f"{error}\n", HTTPStatus.TOO_MANY_REQUESTS, **{"Retry-After": wait}
            )
        except Refusal as refusal:
            return self._refused(refusal, caller)
        return open_socket(request, caller)


def _reject_non_upgrade(request: HttpRequest) -> HttpResponse | None:
    """Return the error for a request that is no upgrade to a WebSocket; None if it is one."""
    if not request.wants_websocket:
        return text_response(
            "This is a WebSocket endpoint; docs/protocol.md describes it.\n",
            HTTPStatus.UPGRADE_REQUIRED,
            Upgrade="websocket",
        )
    if request.headers.get("Sec-WebSocket-Version") != WEBSOCKET_VERSION:
        # RFC 6455 section 4.2.2; picows accepts the drafts' 7 and 8 as well.
        return text_response(
            "This is version 13 of the WebSocket protocol.\n",
            HTTPStatus.UPGRADE_REQUIRED,
            **{"Sec-WebSocket-Version": WEBSOCKET_VERSION},
        )
    return None


def _to_picows(response: HttpResponse) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": response.content_type, **response.headers}
    answer = WSUpgradeResponse.create_ok_response(response.body, headers)
    answer.status = response.status
    return WSUpgradeResponseWithListener(answer, None)
