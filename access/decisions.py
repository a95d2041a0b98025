"""Decides whether a caller may do something. Pure: the only place where this is decided."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from access.callers import Caller, Guest, Person
from access.records import ApiKey, ConversationRecord, Role, Scope


class Action(StrEnum):
    """What a caller wants to do."""

    READ = "read"  # a conversation's captions
    SPEAK = "speak"  # in a conversation
    MANAGE = "manage"  # a conversation: rename, share, revoke, give roles
    CREATE = "create"  # a conversation
    LIST = "list"  # one's own conversations
    MANAGE_KEYS = "manage_keys"  # one's own API keys
    MANAGE_PEOPLE = "manage_people"  # invite, block
    UPLOAD = "upload"  # a recording of one's own: create, complete, abort
    READ_RECORDINGS = "read_recordings"  # one's own: list, status, transcript


class Reason(StrEnum):
    """Why a caller is refused."""

    NOT_SIGNED_IN = "not_signed_in"
    #: An administrator has blocked the person.
    BLOCKED = "blocked"
    #: The API key is over, was revoked, or is another person's.
    KEY_INVALID = "key_invalid"
    #: The API key is not for this.
    SCOPE_MISSING = "scope_missing"
    #: There is no such conversation, or the caller has no role in it; both look the same.
    NOT_FOUND = "not_found"
    #: The link was revoked or is over.
    LINK_INVALID = "link_invalid"
    #: The caller has a role, but not one for this.
    ROLE_MISSING = "role_missing"
    ADMINISTRATORS_ONLY = "administrators_only"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The caller may do it, in these languages of translation; None means all of them."""

    languages: frozenset[str] | None = None

    def admits(self, language: str | None) -> bool:
        """Return whether translations into a language may be read; None: only originals are."""
        return language is None or admits_language(self.languages, language)


@dataclass(frozen=True, slots=True)
class Refused:
    """The caller may not do it."""

    reason: Reason


Decision: TypeAlias = Allowed | Refused


@dataclass(frozen=True, slots=True)
class Standing:
    """What is stored about a caller and a conversation, as it was read together.

    Attributes:
        record: of the conversation in question; None if there is none.
        is_blocked: whether an administrator has blocked the person.
        is_owner_blocked: for guests, whether an administrator has blocked the conversation's owner.
        key: the API key in use; None if it does not exist (any more).
    """

    record: ConversationRecord | None = None
    is_blocked: bool = False
    is_owner_blocked: bool = False
    key: ApiKey | None = None


#: What each role may do in its conversation.
ROLES: Final = {
    Role.OWNER: frozenset({Action.READ, Action.SPEAK, Action.MANAGE}),
    Role.SPEAKER: frozenset({Action.READ, Action.SPEAK}),
    Role.READER: frozenset({Action.READ}),
}
#: The scope that an API key needs; actions that are missing here need the person in person, so no
#: key can make another one or invite people.
SCOPES: Final = {
    Action.READ: Scope.READ,
    Action.SPEAK: Scope.SPEAK,
    Action.MANAGE: Scope.MANAGE,
    Action.CREATE: Scope.MANAGE,
    Action.LIST: Scope.READ,
    Action.UPLOAD: Scope.MANAGE,
    Action.READ_RECORDINGS: Scope.READ,
}
#: What every person may do, without a conversation. Recordings are one's own by where they are
#: stored: each person has a partition of the table and a prefix in the bucket.
_EVERY_PERSON: Final = frozenset(
    {
        Action.CREATE,
        Action.LIST,
        Action.MANAGE_KEYS,
        Action.UPLOAD,
        Action.READ_RECORDINGS,
    }
)


def may(caller: Caller | None, action: Action, standing: Standing, now: datetime) -> Decision:
    """Decide whether `caller` may do `action`, given what is stored.

    A caller is somebody whose token, key or link was verified; None is nobody.
    """
    match caller:
        case None:
            return Refused(Reason.NOT_SIGNED_IN)
        case Guest(link):
            return _may_guest(link, action, standing, now)
        case Person():
            refusal = _refuse_person(caller, action, standing, now)
            if refusal is not None:
                return Refused(refusal)
            if action in _EVERY_PERSON or action is Action.MANAGE_PEOPLE:
                return Allowed()
            record = standing.record
            return _may_role(record.role_of(caller.subject) if record else None, action)


def admits_language(languages: Collection[str] | None, language: str) -> bool:
    """Return whether a language is one of `languages`, where `de` includes `de-AT`; None: of all.

    This is basic filtering (RFC 4647, section 3.3.1).
    """
    if languages is None:
        return True
    asked = f"{language.lower()}-"
    return any(asked.startswith(f"{each.lower()}-") for each in languages)


def may_give(caller: Caller | None, role: Role, standing: Standing, now: datetime) -> Decision:
    """Decide whether `caller` may give others a role, by a share link or by name.

    An API key gives only what it may do itself.
    """
    for action in (Action.MANAGE, *sorted(ROLES[role])):
        decision = may(caller, action, standing, now)
        if isinstance(decision, Refused):
            return decision
    return Allowed()


def _refuse_person(
    person: Person, action: Action, standing: Standing, now: datetime
) -> Reason | None:
    if standing.is_blocked:
        return Reason.BLOCKED
    if person.key is not None:
        key = standing.key
        if (
            key is None
            or (key.key_id, key.subject) != (person.key, person.subject)
            or key.expires_at <= now
        ):
            return Reason.KEY_INVALID
        if SCOPES.get(action) not in key.scopes:
            return Reason.SCOPE_MISSING
    if action is Action.MANAGE_PEOPLE and not person.is_administrator:
        return Reason.ADMINISTRATORS_ONLY
    return None


def _may_guest(link_id: str, action: Action, standing: Standing, now: datetime) -> Decision:
    if action not in {Action.READ, Action.SPEAK}:
        return Refused(Reason.NOT_SIGNED_IN)
    record = None if standing.is_owner_blocked else standing.record
    link = record.links.get(link_id) if record else None
    if link is None or link.expires_at <= now:
        return Refused(Reason.LINK_INVALID)
    decision = _may_role(link.role, action)
    if isinstance(decision, Refused) or link.languages is None:
        return decision
    return Allowed(frozenset(link.languages))


def _may_role(role: Role | None, action: Action) -> Decision:
    if role is None:
        return Refused(Reason.NOT_FOUND)
    return Allowed() if action in ROLES[role] else Refused(Reason.ROLE_MISSING)
