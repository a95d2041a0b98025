"""Tickets: short proofs, signed by the API, that open one kind of socket of one conversation.

A ticket is a JWT with the type `cloudscribe-ticket+jwt`, signed with Ed25519 (RFC 8037). A ticket
says who the caller is; what the caller may do is decided by `access.decisions` from what is stored.

    TicketError    the ticket is refused; its reason is `TicketReason`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, ValidationError

from access.callers import Caller, Guest, Person
from access.decisions import Action, admits_language
from access.records import MOST_LANGUAGES, Subject
from access.secret import is_id, make_id
from transcripts.models import ConversationId, Language, Model

#: The only algorithm; what a ticket claims about itself is not asked.
ALGORITHM: Final = "EdDSA"
#: Keeps tickets and other tokens apart (RFC 8725, section 3.11).
TYPE: Final = "cloudscribe-ticket+jwt"
#: Whom tickets are for.
AUDIENCE: Final = "live"
#: Clocks may differ by so much.
LEEWAY: Final = timedelta(seconds=30)
#: Longer texts are no tickets; a browser's handshake has to carry them. Bytes.
MOST_BYTES: Final = 2_048

#: How long tickets last. A speaker's is used once, at once. A person's right to read may have
#: ended at the issuer. A guest's right is checked against the record for as long as the socket is
#: open, so that readers who connect again need no new ticket.
SPEAKING: Final = timedelta(minutes=2)
READING: Final = timedelta(minutes=10)
READING_AS_GUEST: Final = timedelta(hours=12)
#: How long a ticket of a person who is signed in keeps a socket open. The next ticket takes a valid
#: access token, so whoever was removed at the issuer is out by then.
OPEN_FOR: Final = timedelta(hours=12)


class TicketReason(StrEnum):
    """Why a ticket does not open a socket."""

    MISSING = "ticket_missing"
    INVALID = "ticket_invalid"
    EXPIRED = "ticket_expired"
    MISMATCH = "ticket_mismatch"


class TicketError(Exception):
    """The ticket is refused."""

    def __init__(self, reason: TicketReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Ticket(Model):
    """What a ticket says.

    `kind`, `caller` and `key` name the caller; times are whole seconds since 1970.
    """

    ticket_id: Annotated[str, Field(alias="jti", min_length=1, max_length=64)]
    conversation_id: Annotated[ConversationId, Field(alias="cid")]
    action: Annotated[Literal["read", "speak"], Field(alias="act")]
    kind: Annotated[Literal["person", "guest"], Field(alias="knd")]
    caller_id: Annotated[Subject, Field(alias="sub")]
    key: Annotated[str | None, Field(alias="key", max_length=64)] = None
    audience: Annotated[Literal["live"], Field(alias="aud")] = AUDIENCE
    languages: Annotated[
        tuple[Language, ...] | None, Field(alias="lng", max_length=MOST_LANGUAGES)
    ] = None
    issued_at: Annotated[int, Field(alias="iat")]
    expires_at: Annotated[int, Field(alias="exp")]

    @property
    def caller(self) -> Caller:
        """The caller. Nobody is an administrator at a socket."""
        if self.kind == "guest":
            return Guest(self.caller_id)
        return Person(self.caller_id, key=self.key)

    @property
    def closes_at(self) -> datetime | None:
        """When a socket that it opened is closed; None for guests and keys, whose end is stored."""
        if self.kind == "guest" or self.key is not None:
            return None
        return datetime.fromtimestamp(self.issued_at, UTC) + OPEN_FOR


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its id."""

    id: str
    key: Ed25519PrivateKey


def issue_ticket(
    caller: Caller,
    action: Literal[Action.READ, Action.SPEAK],
    conversation_id: str,
    *,
    languages: frozenset[str] | None,
    ends_at: datetime | None,
    now: datetime,
) -> Ticket:
    """Return a ticket for a caller who may do `action`.

    Args:
        caller: whom `may` allowed it.
        action: to read or to speak.
        conversation_id: the only conversation that it opens.
        languages: those of translations; None allows all.
        ends_at: when the caller's right ends, if that is known.
        now: the current time.
    """
    if action is Action.SPEAK:
        lasting = SPEAKING
    else:
        lasting = READING_AS_GUEST if isinstance(caller, Guest) else READING
    until = now + lasting if ends_at is None else min(now + lasting, ends_at)
    return Ticket(
        ticket_id=make_id(),
        conversation_id=conversation_id,
        action=action.value,
        kind="guest" if isinstance(caller, Guest) else "person",
        caller_id=caller.link if isinstance(caller, Guest) else caller.subject,
        key=None if isinstance(caller, Guest) else caller.key,
        languages=None if languages is None else tuple(sorted(languages)),
        issued_at=int(now.timestamp()),
        expires_at=int(until.timestamp()),
    )


def sign_ticket(ticket: Ticket, key: SigningKey) -> str:
    """Return the ticket as a JWT."""
    return jwt.encode(
        ticket.model_dump(mode="json", by_alias=True, exclude_none=True),
        key.key,
        ALGORITHM,
        headers={"kid": key.id, "typ": TYPE},
    )


def read_key_id(token: str) -> str:
    """Return the id of the key that a ticket claims to be signed with; nothing is verified.

    Raises:
        TicketError: the text cannot be a ticket.
    """
    if len(token) > MOST_BYTES or not token.isascii():
        raise _invalid()
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise _invalid() from None
    key_id = header.get("kid")
    if header.get("typ") != TYPE or header.get("alg") != ALGORITHM or not isinstance(key_id, str):
        raise _invalid()
    if not is_id(key_id):
        raise _invalid()
    return key_id


def verify_ticket(
    token: str, find_key: Callable[[str], Ed25519PublicKey | None], now: datetime
) -> Ticket:
    """Return what a ticket says, if it is authentic and its time has come and is not over.

    Args:
        token: the JWT.
        find_key: returns the public key of an id; None if there is none.
        now: the current time.

    Raises:
        TicketError: it is not.
    """
    key = find_key(read_key_id(token))
    if key is None:
        raise _invalid()
    try:
        # Times are compared below, with the caller's clock.
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        ticket = Ticket.model_validate(claims)
    except (jwt.InvalidTokenError, ValidationError):
        raise _invalid() from None
    seconds, leeway = now.timestamp(), LEEWAY.total_seconds()
    if ticket.issued_at > seconds + leeway:
        raise _invalid()
    if ticket.expires_at <= seconds - leeway:
        raise TicketError(TicketReason.EXPIRED, "The ticket is expired: get a new one.")
    return ticket


def check_use(
    ticket: Ticket, action: Action, conversation_id: str, language: str | None = None
) -> None:
    """Check that a ticket is for what is asked.

    Raises:
        TicketError: it is for another action, conversation or language.
    """
    # Whoever may speak may read, but with a ticket to read: that one can be used again.
    if ticket.action != action or ticket.conversation_id != conversation_id:
        raise TicketError(TicketReason.MISMATCH, "The ticket is for something else.")
    if language is not None and not admits_language(ticket.languages, language):
        raise TicketError(TicketReason.MISMATCH, f"The ticket is not for {language}.")


def _invalid() -> TicketError:
    return TicketError(TicketReason.INVALID, "This is no valid ticket.")
