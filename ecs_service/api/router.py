"""From a request to whom it is for: a WebSocket protocol, or a small HTTP answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus

import structlog
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from ecs_service import telemetry
from ecs_service.access import Door, Forbidden
from ecs_service.addresses import caller_key
from ecs_service.api.acceptor import AcceptedConnection, PendingConnections
from ecs_service.api.connection import Connection
from ecs_service.api.requests import Answer, Request, text
from ecs_service.limits.callers import Caller, CallerLimits, TooManyFailures
from ecs_service.refusal import Refusal
from transcripts.protocol import ErrorCode

#: RFC 6455's.
WEBSOCKET_VERSION = "13"

#: Makes the connection that serves a request of somebody.
OpenSocket = Callable[[Request, Caller], Connection]
Found = Connection | Answer

log = structlog.get_logger(__name__)


class Router:
    """Finds the handler of a path: a page, which is for everybody, or a socket, which is counted.

    `refuse` makes the connection over which a client learns that it is refused.
    """

    def __init__(
        self,
        *,
        sockets: Mapping[str, OpenSocket],
        refuse: Callable[[Refusal, Caller], Connection],
        pages: Mapping[str, Callable[[], Answer]],
        door: Door,
        callers: CallerLimits,
        address_header: str | None,
        pending: PendingConnections,
    ) -> None:
        self._sockets = sockets
        self._refuse = refuse
        self._pages = pages
        self._door = door
        self._callers = callers
        self._address_header = address_header
        self.pending = pending

    def __call__(
        self, raw: WSUpgradeRequest, connection: AcceptedConnection
    ) -> Connection | WSUpgradeResponseWithListener:
        """Return the connection that serves a request, or the answer to it."""
        try:
            found = self._find(Request.parse(raw.path, raw.headers), connection)
        except Forbidden as error:
            found = text(f"{error}\n", HTTPStatus.FORBIDDEN)
        except ValueError:
            found = text("This is not a request.\n", HTTPStatus.BAD_REQUEST)
        except Exception:
            log.exception("request_failed")
            found = text("The service failed; this was logged.\n", HTTPStatus.INTERNAL_SERVER_ERROR)
        if not isinstance(found, Connection):
            return _response(found)
        upgrades = raw.headers.get("Connection", "").lower()
        if "upgrade" in (token.strip() for token in upgrades.split(",")):
            # picows, which looks at it after us, knows no list of tokens; Firefox sends one.
            raw.headers["Connection"] = "Upgrade"
        return found

    def _find(self, request: Request, connection: AcceptedConnection) -> Found:
        self._door.admit(request.headers)
        page = self._pages.get(request.path)
        if page is not None:
            return page()
        open_socket = self._sockets.get(request.path)
        if open_socket is None:
            return text("There is nothing here.\n", HTTPStatus.NOT_FOUND)
        return _no_upgrade(request) or self._open(open_socket, request, connection)

    def _open(
        self, open_socket: OpenSocket, request: Request, connection: AcceptedConnection
    ) -> Found:
        """Return the connection, or why its address gets none."""
        address = caller_key(request.headers, self._address_header, connection.peer)
        caller = Caller(address, connection, self._callers)
        try:
            self._callers.admit(address)
        except TooManyFailures as error:
            # No 5xx: see `ecs_service.api.health`.
            telemetry.refusals.labels(ErrorCode.RATE_LIMITED.value).inc()
            wait = str(math.ceil(error.retry_after))
            return text(f"{error}\n", HTTPStatus.TOO_MANY_REQUESTS, **{"Retry-After": wait})
        except Refusal as refusal:
            return self._refuse(refusal, caller)
        return open_socket(request, caller)


def _no_upgrade(request: Request) -> Answer | None:
    """Return why a request is no upgrade to a WebSocket; None if it is one."""
    if not request.wants_websocket:
        return text(
            "This is a WebSocket endpoint; docs/protocol.md describes it.\n",
            HTTPStatus.UPGRADE_REQUIRED,
            Upgrade="websocket",
        )
    if request.headers.get("Sec-WebSocket-Version") != WEBSOCKET_VERSION:
        # RFC 6455 section 4.2.2; picows takes the drafts' 7 and 8 as well.
        return text(
            "This is version 13 of the WebSocket protocol.\n",
            HTTPStatus.UPGRADE_REQUIRED,
            **{"Sec-WebSocket-Version": WEBSOCKET_VERSION},
        )
    return None


def _response(answer: Answer) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": answer.content_type, **answer.headers}
    response = WSUpgradeResponse.create_ok_response(answer.body, headers)
    response.status = answer.status
    return WSUpgradeResponseWithListener(response, None)
