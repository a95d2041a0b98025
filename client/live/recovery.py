"""Decides what a resuming speaker does when a connection fails. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from client.errors import ClientError, ConnectionLost, NoConnection, NotSignedIn, Refused
from transcripts.protocol import ErrorCode


class Step(Enum):
    """What comes next."""

    CONNECT_AGAIN = auto()
    #: At once, with a ticket beside the resume token.
    BRING_TICKET = auto()
    #: The stream cannot be resumed; what is kept goes into another one.
    BEGIN_NEW_STREAM = auto()
    GIVE_UP = auto()


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the next connection asks for.

    Attributes:
        number: grows with each connection of a stream.
        token: the resume token; None begins a stream.
        conversation_id: that of the stream, once it is known.
        with_ticket: whether a ticket is sent, which a new stream always needs.
    """

    number: int = 0
    token: str | None = field(default=None, repr=False)
    conversation_id: str | None = None
    with_ticket: bool = True


def decide(error: ClientError, attempt: Attempt) -> Step:
    """Return what to do after `error`, which ended the connection of `attempt` or refused it."""
    lacks_ticket = attempt.token is not None and not attempt.with_ticket
    match error:
        case NotSignedIn():
            return Step.BRING_TICKET if lacks_ticket else Step.GIVE_UP
        case Refused(code=ErrorCode.TICKET_USED) if lacks_ticket:
            return Step.BRING_TICKET
        case Refused(code=ErrorCode.RESUME_REFUSED) if attempt.token is not None:
            return Step.BEGIN_NEW_STREAM
        case Refused():
            return Step.CONNECT_AGAIN if error.retryable else Step.GIVE_UP
        case ConnectionLost() | NoConnection():
            return Step.CONNECT_AGAIN
        case _:
            return Step.GIVE_UP
