"""Routes a request to a WebSocket protocol or to an HTTP endpoint, after access and rate checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from access.decisions import Action
from access.messages import Problem
from access.tickets import TicketError, TicketReason
from ecs_service import telemetry
from ecs_service.access.credentials import choose_subprotocol, find_resume_token, has_ticket
from ecs_service.access.door import OPEN, AccountDoor, Admission, Wish
from ecs_service.access.edge import AccessPolicy, Forbidden
from ecs_service.api.acceptor import AcceptedConnection, PendingConnections
from ecs_service.api.connection import Connection
from ecs_service.api.requests import HttpRequest, HttpResponse, problem_response, text_response
from ecs_service.limits.callers import CallerLimits, ConnectedClient, TooManyFailures, caller_key
from ecs_service.refusal import Refusal
from transcripts.protocol import ErrorCode

#: RFC 6455's.
WEBSOCKET_VERSION = "13"

#: Where browsers, which cannot see why a handshake failed, ask whether their ticket is valid.
TICKET_PATH = "/api/stt/ticket"
#: When to ask again about a ticket whose key is not known yet, seconds.
UNKNOWN_KEY_SECONDS = 5

#: Makes the connection that serves a request.
OpenSocket = Callable[[HttpRequest, ConnectedClient, Admission], Connection]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """A WebSocket protocol: what a request needs a right for, and the connection that serves it.

    `parse_wish` raises the Refusal of a malformed query.
    """

    open: OpenSocket
    parse_wish: Callable[[HttpRequest], Wish]


class RequestRouter:
    """Finds the handler of a path. Sockets are limited by the caller's address, HTTP routes not.

    With a `door`, sockets need a ticket, and it is the caller of a valid one that is limited.
    Failures of an address never refuse a valid ticket: a lecture hall is one address. `refused`
    makes the connection that sends a client a refusal and closes.
    """

    def __init__(
        self,
        *,
        socket_routes: Mapping[str, SocketRoute],
        refused: Callable[[Refusal, ConnectedClient], Connection],
        http_routes: Mapping[str, Callable[[], HttpResponse]],
        access: AccessPolicy,
        callers: CallerLimits,
        address_header: str | None,
        pending: PendingConnections,
        door: AccountDoor | None = None,
    ) -> None:
        self._socket_routes = socket_routes
        self._refused = refused
        self._http_routes = http_routes
        self._access = access
        self._door = door
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
        subprotocol = choose_subprotocol(raw.headers)
        if subprotocol is None:
            return found
        response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": subprotocol})
        return WSUpgradeResponseWithListener(response, found)

    def _route(
        self, request: HttpRequest, connection: AcceptedConnection
    ) -> Connection | HttpResponse:
        self._access.authorise(request.headers)
        endpoint = self._http_routes.get(request.path)
        if endpoint is not None:
            return endpoint()
        if self._door is not None and request.path == TICKET_PATH:
            return self._answer_ticket(self._door, request, self._address_of(request, connection))
        route = self._socket_routes.get(request.path)
        if route is None:
            return text_response("There is nothing here.\n", HTTPStatus.NOT_FOUND)
        return _reject_non_upgrade(request) or self._open(route, request, connection)

    def _address_of(self, request: HttpRequest, connection: AcceptedConnection) -> str:
        return caller_key(request.headers, self._address_header, connection.peer)

    def _open(
        self, route: SocketRoute, request: HttpRequest, connection: AcceptedConnection
    ) -> Connection | HttpResponse:
        """Return the connection, or the refusal for want of a ticket or beyond a limit."""
        address = self._address_of(request, connection)
        client = ConnectedClient(address, connection, self._caller_limits)
        try:
            if self._door is None:
                self._caller_limits.count_connection(address)
                admission = OPEN
            else:
                admission = self._check_ticket(self._door, route, request, address)
            return route.open(request, client, admission)
        except TooManyFailures as error:
            return _too_many_failures(error)
        except TicketError as error:
            return self._refuse_ticket(error, address)
        except Refusal as refusal:
            return self._refused(refusal, client)

    def _check_ticket(
        self, door: AccountDoor, route: SocketRoute, request: HttpRequest, address: str
    ) -> Admission:
        """Return the admission of a request with a ticket.

        Raises:
            TicketError: the ticket is missing, not valid, expired, or for something else.
            TooManyFailures: it cannot be verified yet, and the address was refused too often.
            Refusal: the caller connects too fast, or the query is malformed.
        """
        limits = self._caller_limits
        if find_resume_token(request.headers) is not None and not has_ticket(request.headers):
            limits.count_connection(address)
            if route.parse_wish(request).action is not Action.SPEAK:
                raise TicketError(TicketReason.MISSING, "Only a speaker resumes by a token.")
            return door.resumption()
        presented = door.inspect(request.headers)
        if presented.ticket is None:
            limits.count_connection(address)
        else:
            is_guest = presented.ticket.kind == "guest"
            limits.count_ticket(presented.rate_key(address), is_guest=is_guest)
        wish = route.parse_wish(request)
        return door.admission(presented, wish, lambda: limits.count_failure(address))

    def _answer_ticket(self, door: AccountDoor, request: HttpRequest, address: str) -> HttpResponse:
        """Return 200 if the request's ticket is authentic and its time is not over."""
        try:
            presented = door.inspect(request.headers)
        except TicketError as error:
            return self._refuse_ticket(error, address)
        if presented.ticket is None:
            door.keys.refresh()
            return text_response(
                "This cannot be known yet: ask again.\n",
                HTTPStatus.TOO_MANY_REQUESTS,
                **{"Retry-After": str(UNKNOWN_KEY_SECONDS), **_UNCACHED},
            )
        return text_response("This ticket is valid.\n", HTTPStatus.OK, **_UNCACHED)

    def _refuse_ticket(self, error: TicketError, address: str) -> HttpResponse:
        telemetry.access_refusals.labels(error.reason.value).inc()
        if error.reason is not TicketReason.EXPIRED:
            # An expired one was a real ticket, and its owner has to learn that it is over.
            try:
                self._caller_limits.check_failures(address)
            except TooManyFailures as failures:
                return _too_many_failures(failures)
            self._caller_limits.count_failure(address)
        is_mismatch = error.reason is TicketReason.MISMATCH
        status = HTTPStatus.FORBIDDEN if is_mismatch else HTTPStatus.UNAUTHORIZED
        problem = Problem(
            title=status.phrase,
            status=status.value,
            detail=str(error),
            reason=error.reason.value,
        )
        # RFC 9110 requires the header of a 401.
        challenge = {} if is_mismatch else {"WWW-Authenticate": "Bearer"}
        return problem_response(problem, **challenge, **_UNCACHED)


_UNCACHED = {"Cache-Control": "no-store"}


def _too_many_failures(error: TooManyFailures) -> HttpResponse:
    # No 5xx: see `ecs_service.api.health`.
    telemetry.refusals.labels(ErrorCode.RATE_LIMITED.value).inc()
    wait = str(math.ceil(error.retry_after))
    return text_response(f"{error}\n", HTTPStatus.TOO_MANY_REQUESTS, **{"Retry-After": wait})


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
