"""Finds the ticket or resume token that a request carries, and the subprotocol that answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from access.secret import Secret, parse_secret
from access.tickets import TicketError, TicketReason
from transcripts.protocol import RESUME_SUBPROTOCOL, SUBPROTOCOL, TICKET_SUBPROTOCOL

_SCHEME = "bearer"


def find_ticket(headers: Mapping[str, str]) -> str:
    """Return the one ticket in a request's headers, unverified. A query is not looked at.

    Programs send it as `Authorization: Bearer`. Browsers, which cannot set that header for a
    socket, send it as a subprotocol.

    Raises:
        TicketError: there is none, or there are several.
    """
    found = [*_with_prefix(headers, TICKET_SUBPROTOCOL), *_bearers(headers)]
    if not found:
        raise TicketError(TicketReason.MISSING, "A ticket is required; docs/protocol.md says how.")
    if len(found) > 1:
        # Rights are never added up, and no rule says which of two counts.
        raise TicketError(TicketReason.INVALID, "Send one ticket.")
    return found[0]


def has_ticket(headers: Mapping[str, str]) -> bool:
    """Return whether a request carries something in place of a ticket."""
    return any((*_with_prefix(headers, TICKET_SUBPROTOCOL), *_bearers(headers)))


def find_resume_token(headers: Mapping[str, str]) -> Secret | None:
    """Return the token of the stream that a request resumes; None if it resumes none.

    Raises:
        TicketError: it is malformed, or there are several.
    """
    found = list(_with_prefix(headers, RESUME_SUBPROTOCOL))
    if not found:
        return None
    token = parse_secret("csr", found[0])
    if token is None or len(found) > 1:
        raise TicketError(TicketReason.INVALID, "This is no resume token.")
    return token


def choose_subprotocol(headers: Mapping[str, str]) -> str | None:
    """Return the subprotocol to answer with; None if the client does not offer ours.

    A ticket is never sent back.
    """
    return SUBPROTOCOL if SUBPROTOCOL in _subprotocols(headers) else None


def _with_prefix(headers: Mapping[str, str], prefix: str) -> Iterator[str]:
    for one in _subprotocols(headers):
        if one.startswith(prefix):
            yield one.removeprefix(prefix)


def _bearers(headers: Mapping[str, str]) -> Iterator[str]:
    for value in _values(headers, "authorization"):
        scheme, _, credential = value.strip().partition(" ")
        if scheme.lower() == _SCHEME:
            yield credential.strip()


def _subprotocols(headers: Mapping[str, str]) -> list[str]:
    offered = ",".join(_values(headers, "sec-websocket-protocol"))
    return [one.strip() for one in offered.split(",")] if offered else []


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    """Return all values of a header: a lookup would return the first alone."""
    return [value for key, value in headers.items() if key.lower() == name]
