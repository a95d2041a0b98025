"""From a request to whom it is for: a WebSocket protocol, or a small HTTP answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import structlog
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from ecs_service.access import Door, Forbidden
from ecs_service.api.connection import Connection
from ecs_service.api.requests import Answer, Request, text

#: RFC 6455's.
WEBSOCKET_VERSION = "13"

log = structlog.get_logger(__name__)


class Router:
    """Finds the handler of a path. Given to the server as its factory of listeners."""

    def __init__(
        self,
        *,
        sockets: Mapping[str, Callable[[Request], Connection]],
        pages: Mapping[str, Callable[[], Answer]],
        door: Door,
    ) -> None:
        self._sockets = sockets
        self._pages = pages
        self._door = door

    def __call__(self, raw: WSUpgradeRequest) -> Connection | WSUpgradeResponseWithListener:
        """Return the connection that serves a request, or the answer to it."""
        try:
            found = self._find(Request.parse(raw.path, raw.headers))
        except Forbidden as error:
            found = text(f"{error}\n", HTTPStatus.FORBIDDEN)
        except ValueError:
            found = text("This is not a request.\n", HTTPStatus.BAD_REQUEST)
        except Exception:
            log.exception("request_failed")
            found = text("The service failed; this was logged.\n", HTTPStatus.INTERNAL_SERVER_ERROR)
        if not isinstance(found, Connection):
            return _response(found)
        connection = raw.headers.get("Connection", "").lower()
        if "upgrade" in (token.strip() for token in connection.split(",")):
            # picows, which looks at it after us, knows no list of tokens; Firefox sends one.
            raw.headers["Connection"] = "Upgrade"
        return found

    def _find(self, request: Request) -> Connection | Answer:
        self._door.admit(request.headers)
        page = self._pages.get(request.path)
        if page is not None:
            return page()
        open_socket = self._sockets.get(request.path)
        if open_socket is None:
            return text("There is nothing here.\n", HTTPStatus.NOT_FOUND)
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
        return open_socket(request)


def _response(answer: Answer) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": answer.content_type, **answer.headers}
    response = WSUpgradeResponse.create_ok_response(answer.body, headers)
    response.status = answer.status
    return WSUpgradeResponseWithListener(response, None)
