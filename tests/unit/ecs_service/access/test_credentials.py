"""Which ticket a request carries, and what it is answered with."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from access.tickets import TicketError, TicketReason
from ecs_service.access.credentials import choose_subprotocol, find_ticket

pytestmark = pytest.mark.unit

PROTOCOL = "Sec-WebSocket-Protocol"


def headers(*pairs: tuple[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(pairs)


@pytest.mark.parametrize(
    "sent",
    [
        headers((PROTOCOL, "cloudscribe.v1, ticket.a.b.c")),
        headers((PROTOCOL, "ticket.a.b.c,cloudscribe.v1")),
        headers((PROTOCOL, "cloudscribe.v1"), (PROTOCOL.lower(), "ticket.a.b.c")),
        headers(("authorization", "bearer   a.b.c")),
        headers(("Authorization", "Basic YTpi"), (PROTOCOL, "cloudscribe.v1, ticket.a.b.c")),
    ],
)
def test_a_ticket_is_found(sent: CIMultiDict[str]) -> None:
    assert find_ticket(sent) == "a.b.c"


@pytest.mark.parametrize(
    "sent",
    [
        headers(),
        headers((PROTOCOL, "cloudscribe.v1")),
        headers(("Authorization", "Basic YTpi")),
        headers(("Cookie", "ticket=a.b.c"), ("X-Ticket", "a.b.c")),
    ],
)
def test_a_ticket_is_missing(sent: CIMultiDict[str]) -> None:
    with pytest.raises(TicketError) as refused:
        find_ticket(sent)

    assert refused.value.reason is TicketReason.MISSING


@pytest.mark.parametrize(
    "sent",
    [
        headers((PROTOCOL, "cloudscribe.v1, ticket.a, ticket.b")),
        headers((PROTOCOL, "ticket.a"), (PROTOCOL, "ticket.a")),
        headers(("Authorization", "Bearer a"), ("Authorization", "Bearer b")),
        headers(("Authorization", "Bearer a"), (PROTOCOL, "cloudscribe.v1, ticket.a")),
    ],
)
def test_rights_of_two_tickets_are_not_added_up(sent: CIMultiDict[str]) -> None:
    with pytest.raises(TicketError) as refused:
        find_ticket(sent)

    assert refused.value.reason is TicketReason.INVALID


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("cloudscribe.v1, ticket.a.b.c", "cloudscribe.v1"),
        ("chat, cloudscribe.v1", "cloudscribe.v1"),
        ("ticket.a.b.c", None),
        ("cloudscribe.v2", None),
        ("", None),
    ],
)
def test_no_ticket_is_sent_back(offered: str, chosen: str | None) -> None:
    assert choose_subprotocol(headers((PROTOCOL, offered))) == chosen
