"""The errors with which sockets are refused or ended for want of a right, and their counters."""

from __future__ import annotations

from access.decisions import Reason
from ecs_service import telemetry
from ecs_service.refusal import Refusal
from transcripts.protocol import ErrorCode

#: When a client may try again after the table did not answer, seconds.
RETRY_SECONDS = 5.0


def access_revoked(reason: Reason | str) -> Refusal:
    """Return the error of a caller who has no right; which one is missing only the metric knows."""
    telemetry.access_refusals.labels(str(reason)).inc()
    return Refusal(ErrorCode.ACCESS_REVOKED, "You have no access to this conversation.")


def ticket_used(reason: str = "ticket_used") -> Refusal:
    """Return the error of a caller who needs a new ticket."""
    telemetry.access_refusals.labels(reason).inc()
    return Refusal(ErrorCode.TICKET_USED, "This ticket cannot be used any more: get a new one.")


def access_unavailable() -> Refusal:
    """Return the error of a caller whose right is not known."""
    telemetry.access_refusals.labels("unavailable").inc()
    return Refusal(
        ErrorCode.ACCESS_UNAVAILABLE,
        "Rights cannot be checked at present.",
        retry_after=RETRY_SECONDS,
    )
