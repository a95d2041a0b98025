"""HTTP requests and responses, as far as the service needs them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError

from access.messages import Problem
from ecs_service.refusal import Refusal
from foundation.invalid import explain
from transcripts.protocol import ErrorCode, Parameters

#: The most query parameters of a request; no protocol here has as many.
MAX_PARAMETERS = 64

_P = TypeVar("_P", bound=Parameters)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request target and its headers, which are looked up without regard to case."""

    path: str
    query: str
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, target: bytes, headers: Mapping[str, str]) -> HttpRequest:
        """Parse a request target such as `/path?a=1`.

        Raises:
            ValueError: the target is malformed.
        """
        parts = urlsplit(target.decode("ascii"))
        return cls(parts.path, parts.query, headers)

    @property
    def wants_websocket(self) -> bool:
        """Whether the request asks for an upgrade to a WebSocket."""
        return self.headers.get("Upgrade", "").lower() == "websocket"

    def parameters(self, kind: type[_P]) -> _P:
        """Parse and validate the query; return it as a `kind`.

        Raises:
            Refusal: a parameter is missing, malformed or out of range.
        """
        try:
            query = dict(
                parse_qsl(
                    self.query,
                    keep_blank_values=True,
                    max_num_fields=MAX_PARAMETERS,
                    errors="strict",  # by default a name in Latin-1 becomes U+FFFD
                )
            )
            return kind.model_validate(query)
        except ValidationError as error:
            raise Refusal(ErrorCode.INVALID_PARAMETER, f"{explain(error)}.") from None
        except UnicodeDecodeError:
            raise Refusal(ErrorCode.INVALID_PARAMETER, "Parameters must be UTF-8.") from None
        except ValueError:
            raise Refusal(ErrorCode.INVALID_PARAMETER, "Too many parameters.") from None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A small HTTP response."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def text_response(message: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> HttpResponse:
    """Return a response of plain text."""
    return HttpResponse(status, message.encode(), headers=headers)


def json_response(value: object, status: HTTPStatus, headers: Mapping[str, str]) -> HttpResponse:
    """Return a response of JSON."""
    return HttpResponse(status, json.dumps(value).encode(), "application/json", headers)


def problem_response(problem: Problem, **headers: str) -> HttpResponse:
    """Return a refusal for programs (RFC 9457)."""
    body = problem.model_dump_json(by_alias=True).encode()
    return HttpResponse(HTTPStatus(problem.status), body, "application/problem+json", headers)
