"""Finds the ticket that a request carries, and the subprotocol that answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from access.tickets import TicketError, TicketReason
from transcripts.protocol import SUBPROTOCOL, TICKET_SUBPROTOCOL

_SCHEME = "bearer"


def find_ticket(headers: Mapping[str, str]) -> str:
    """Return the one ticket in a request's headers, unverified. A query is not looked at.

    Programs send it as `Authorization: Bearer`. Browsers, which cannot set that header for a
    socket, send it as a subprotocol.

    Raises:
        TicketError: there is none, or there are several.
    """
    found = [
        *(
            one.removeprefix(TICKET_SUBPROTOCOL)
            for one in _subprotocols(headers)
            if one.startswith(TICKET_SUBPROTOCOL)
        ),
        *_bearers(headers),
    ]
    if not found:
        raise TicketError(TicketReason.MISSING, "A ticket is required; docs/protocol.md says how.")
    if len(found) > 1:
        # Rights are never added up, and no rule says which of two counts.
        raise TicketError(TicketReason.INVALID, "Send one ticket.")
    return found[0]


def choose_subprotocol(headers: Mapping[str, str]) -> str | None:
    """Return the subprotocol to answer with; None if the client does not offer ours.

    A ticket is never sent back.
    """
    return SUBPROTOCOL if SUBPROTOCOL in _subprotocols(headers) else None


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
