"""HTTP requests and answers, as far as the service needs them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError

from ecs_service.refusal import Refusal
from foundation.invalid import explain
from transcripts.protocol import ErrorCode, Parameters

#: More query parameters than any protocol here has.
MAX_PARAMETERS = 64

_P = TypeVar("_P", bound=Parameters)


@dataclass(frozen=True, slots=True)
class Request:
    """A request line and its headers (looked up without regard to case)."""

    path: str
    query: str
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, target: bytes, headers: Mapping[str, str]) -> Request:
        """Return the request for a request target such as `/path?a=1`.

        Raises:
            ValueError: it is not a target.
        """
        parts = urlsplit(target.decode("ascii"))
        return cls(parts.path, parts.query, headers)

    @property
    def wants_websocket(self) -> bool:
        """Whether it asks for an upgrade."""
        return self.headers.get("Upgrade", "").lower() == "websocket"

    def parameters(self, kind: type[_P]) -> _P:
        """Return the query as a model.

        Raises:
            Refusal: a parameter is missing, malformed or out of range.
        """
        try:
            query = dict(
                parse_qsl(
                    self.query,
                    keep_blank_values=True,
                    max_num_fields=MAX_PARAMETERS,
                    errors="strict",  # else a name in Latin-1 would be shown with U+FFFD
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
class Answer:
    """A small HTTP answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def text(message: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Answer:
    """Return an answer of plain text."""
    return Answer(status, message.encode(), headers=headers)


def as_json(value: object, status: HTTPStatus, headers: Mapping[str, str]) -> Answer:
    """Return an answer of JSON."""
    return Answer(status, json.dumps(value).encode(), "application/json", headers)
