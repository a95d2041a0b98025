"""Refusals of the API, as problems of RFC 9457.

ProblemError    the request is refused; `problem` says why
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from access.decisions import Reason
from access.messages import Problem

_S: Final = HTTPStatus

#: Status and words of what the decisions refuse.
REASONS: Final[dict[Reason, tuple[HTTPStatus, str]]] = {
    Reason.NOT_SIGNED_IN: (_S.UNAUTHORIZED, "Sign in first."),
    Reason.BLOCKED: (_S.FORBIDDEN, "An administrator has blocked this account."),
    Reason.KEY_INVALID: (_S.UNAUTHORIZED, "This API key is not valid, or not any more."),
    Reason.SCOPE_MISSING: (_S.FORBIDDEN, "This API key is not for that."),
    Reason.NOT_FOUND: (_S.NOT_FOUND, "There is no such conversation of yours."),
    Reason.LINK_INVALID: (_S.UNAUTHORIZED, "This link is not valid, or not any more."),
    Reason.ROLE_MISSING: (_S.FORBIDDEN, "Your role in this conversation is not for that."),
    Reason.ADMINISTRATORS_ONLY: (_S.FORBIDDEN, "Only administrators may do that."),
}


class ProblemError(Exception):
    """The request is refused."""

    def __init__(self, status: HTTPStatus, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.problem = Problem(
            title=status.phrase, status=status.value, detail=detail, reason=reason
        )


def refuse(reason: Reason) -> ProblemError:
    """Return the problem of a refused decision."""
    status, detail = REASONS[reason]
    return ProblemError(status, reason.value, detail)


def unavailable() -> ProblemError:
    """Return the problem of an issuer or a table that does not answer."""
    return ProblemError(
        _S.SERVICE_UNAVAILABLE, "unavailable", "This cannot be decided at present; try again."
    )
