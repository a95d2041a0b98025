"""What callers do with conversations, share links, tickets and API keys.

Each method decides by `access.decisions`, then reads or writes the table. All raise `ProblemError`
where the caller is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Literal, cast

from access.callers import Caller, Guest, Person
from access.decisions import Action, Decision, Reason, Refused, Standing, may, may_give
from access.messages import (
    MOST_KEYS,
    PAGE,
    ChangedConversation,
    Conversation,
    ConversationPage,
    IssuedTicket,
    Key,
    KeyList,
    KeyWithSecret,
    Link,
    LinkWithSecret,
    Me,
    NewConversation,
    NewKey,
    NewLink,
    NewTicket,
    SharedRole,
)
from access.records import (
    MOST_LINKS,
    MOST_PEOPLE,
    ApiKey,
    ConversationRecord,
    Role,
    ShareLink,
)
from access.secret import Secret, make_id, make_secret
from access.store import AccessTable, RecordChanged
from access.tickets import issue_ticket
from lambdas.api.identity import Identity
from lambdas.api.problems import ProblemError, refuse
from lambdas.api.signing import TicketSigner


@dataclass(frozen=True, slots=True)
class Conversations:
    """The API's actions, but those on people."""

    table: AccessTable
    signer: TicketSigner
    now: Callable[[], datetime]

    # --- conversations ------------------------------------------------------------------

    def create(self, caller: Identity, wanted: NewConversation) -> Conversation:
        """Create a conversation that the caller owns."""
        person, _ = self._require(caller, Action.CREATE)
        record = ConversationRecord(
            conversation_id=make_id(),
            title=wanted.title,
            owner=person.subject,
            created_at=self.now(),
        )
        if not self.table.create(record):
            raise RuntimeError("a new id is taken")  # 128 random bits: this is a defect
        return _view(record, Role.OWNER)

    def list_page(self, caller: Identity, cursor: str | None) -> ConversationPage:
        """Return a page of the caller's conversations."""
        person, _ = self._require(caller, Action.LIST)
        page = self.table.list_conversations(person.subject, limit=PAGE, cursor=cursor)
        records = self.table.read_records(page.conversations)
        return ConversationPage(
            conversations=tuple(
                _view(record, role)
                for record in records
                if (role := record.role_of(person.subject)) is not None
            ),
            cursor=page.cursor,
        )

    def get(self, caller: Identity, conversation_id: str) -> Conversation:
        """Return a conversation, with people and links for its owner."""
        person, standing = self._require(caller, Action.READ, conversation_id)
        record = _record(standing)
        role = record.role_of(person.subject)
        if role is None:
            raise refuse(Reason.NOT_FOUND)
        manages = may(person, Action.MANAGE, standing, self.now())
        return _view(record, role, is_whole=not isinstance(manages, Refused))

    def rename(
        self, caller: Identity, conversation_id: str, wanted: ChangedConversation
    ) -> Conversation:
        """Change the title of the version that the caller has seen."""
        _, standing = self._require(caller, Action.MANAGE, conversation_id)
        record = _record(standing)
        if record.version != wanted.version:
            raise _changed()
        return self._replace(record, title=wanted.title)

    def give_role(
        self, caller: Identity, conversation_id: str, subject: str, role: SharedRole
    ) -> Conversation:
        """Give a person a role."""
        _, standing = self._require_giving(caller, Role(role), conversation_id)
        record = _record(standing)
        if subject == record.owner:
            raise ProblemError(
                HTTPStatus.CONFLICT, "is_owner", "The owner keeps the role of an owner."
            )
        people = {**record.people, subject: Role(role)}
        if len(people) > MOST_PEOPLE:
            raise _too_many("people", MOST_PEOPLE)
        return self._replace(record, people=people)

    def remove_person(self, caller: Identity, conversation_id: str, subject: str) -> Conversation:
        """Take a person's role away."""
        _, standing = self._require(caller, Action.MANAGE, conversation_id)
        record = _record(standing)
        people = {each: role for each, role in record.people.items() if each != subject}
        return self._replace(record, people=people)

    # --- share links --------------------------------------------------------------------

    def share(self, caller: Identity, conversation_id: str, wanted: NewLink) -> LinkWithSecret:
        """Make a share link; its secret is shown this once."""
        person, standing = self._require_giving(caller, Role(wanted.role), conversation_id)
        record = _record(standing)
        now = self.now()
        if sum(link.expires_at > now for link in record.links.values()) >= MOST_LINKS:
            raise _too_many("links", MOST_LINKS)
        secret = make_secret("csl")
        link = ShareLink(
            role=Role(wanted.role),
            label=wanted.label,
            secret_hash=secret.hash,
            created_at=now,
            expires_at=now + timedelta(days=wanted.days),
            languages=wanted.languages,
            made_by=person.key,
        )
        self._replace(record, links={**record.links, secret.id: link})
        return LinkWithSecret(link=_link(secret.id, link), secret=str(secret))

    def revoke(self, caller: Identity, conversation_id: str, link_id: str) -> Conversation:
        """Revoke a share link; the service closes what it has opened within a minute."""
        _, standing = self._require(caller, Action.MANAGE, conversation_id)
        record = _record(standing)
        links = {each: link for each, link in record.links.items() if each != link_id}
        return self._replace(record, links=links)

    # --- tickets ------------------------------------------------------------------------

    def issue_ticket(self, caller: Identity, wanted: NewTicket) -> IssuedTicket:
        """Return a ticket for a socket of a conversation."""
        action = Action(wanted.action)
        principal, standing = self._admit(caller, wanted.conversation_id)
        decision = may(principal, action, standing, self.now())
        if isinstance(decision, Refused):
            raise refuse(decision.reason)
        record = _record(standing)
        role, ends_at = _part_of(principal, record, standing)
        now = self.now()
        ticket = issue_ticket(
            principal,
            cast("Literal[Action.READ, Action.SPEAK]", action),
            wanted.conversation_id,
            languages=decision.languages,
            ends_at=ends_at,
            now=now,
        )
        return IssuedTicket(
            ticket=self.signer.sign(ticket),
            conversation_id=wanted.conversation_id,
            title=record.title,
            role=role,
            action=wanted.action,
            expires_at=datetime.fromtimestamp(ticket.expires_at, now.tzinfo),
            seconds_left=max(0, ticket.expires_at - int(now.timestamp())),
            languages=ticket.languages,
        )

    def _admit(self, caller: Identity, conversation_id: str) -> tuple[Caller, Standing]:
        """Return a person, or the guest with the secret of one of the conversation's links."""
        if isinstance(caller, Person):
            return caller, self.table.load(caller, conversation_id)
        # One reading decides about the secret, so that a refusal takes as long without a record.
        record = next(iter(self.table.read_records([conversation_id])), None)
        link = record.links.get(caller.id) if record else None
        if record is None or link is None or not caller.matches(link.secret_hash):
            raise refuse(Reason.LINK_INVALID)
        is_owner_blocked = self.table.is_blocked(record.owner)
        return Guest(caller.id), Standing(record, is_owner_blocked=is_owner_blocked)

    # --- keys ---------------------------------------------------------------------------

    def describe(self, caller: Identity) -> Me:
        """Return who the caller is."""
        person, standing = self._require(caller, Action.LIST)
        return Me(
            subject=person.subject,
            is_administrator=person.is_administrator,
            key=person.key,
            scopes=tuple(sorted(standing.key.scopes)) if standing.key else None,
        )

    def list_keys(self, caller: Identity) -> KeyList:
        """Return the caller's API keys."""
        person, _ = self._require(caller, Action.MANAGE_KEYS)
        return KeyList(keys=tuple(map(_key, self._keys_of(person))))

    def add_key(self, caller: Identity, wanted: NewKey) -> KeyWithSecret:
        """Make an API key; its secret is shown this once."""
        person, _ = self._require(caller, Action.MANAGE_KEYS)
        now = self.now()
        if sum(key.expires_at > now for key in self._keys_of(person)) >= MOST_KEYS:
            raise _too_many("API keys", MOST_KEYS)
        secret = make_secret("csk")
        key = ApiKey(
            key_id=secret.id,
            subject=person.subject,
            label=wanted.label,
            scopes=frozenset(wanted.scopes),
            secret_hash=secret.hash,
            created_at=now,
            expires_at=now + timedelta(days=wanted.days),
        )
        self.table.add_key(key)
        return KeyWithSecret(key=_key(key), secret=str(secret))

    def remove_key(self, caller: Identity, key_id: str) -> None:
        """Revoke one of the caller's API keys; one that is gone counts as revoked."""
        person, _ = self._require(caller, Action.MANAGE_KEYS)
        key = self.table.find_key(key_id)
        if key is not None and key.subject == person.subject:
            self.table.remove_key(key)

    def require_administrator(self, caller: Identity) -> Person:
        """Return the caller, who manages people."""
        return self._require(caller, Action.MANAGE_PEOPLE)[0]

    # --- parts --------------------------------------------------------------------------

    def _require(
        self, caller: Identity, action: Action, conversation_id: str | None = None
    ) -> tuple[Person, Standing]:
        """Return the caller, a person who may do `action`, and what the decision was made of."""
        return self._check(
            caller, conversation_id, lambda who, standing: may(who, action, standing, self.now())
        )

    def _require_giving(
        self, caller: Identity, role: Role, conversation_id: str
    ) -> tuple[Person, Standing]:
        """Return the caller, a person who may give others `role`."""
        return self._check(
            caller, conversation_id, lambda who, standing: may_give(who, role, standing, self.now())
        )

    def _check(
        self,
        caller: Identity,
        conversation_id: str | None,
        decide: Callable[[Person, Standing], Decision],
    ) -> tuple[Person, Standing]:
        if isinstance(caller, Secret):  # a link is for tickets alone
            raise refuse(Reason.NOT_SIGNED_IN)
        standing = self.table.load(caller, conversation_id)
        decision = decide(caller, standing)
        if isinstance(decision, Refused):
            raise refuse(decision.reason)
        return caller, standing

    def _keys_of(self, person: Person) -> list[ApiKey]:
        # Keys that are over stay for a day or two, until DynamoDB deletes them.
        return self.table.list_keys(person.subject, limit=4 * MOST_KEYS)

    def _replace(
        self,
        record: ConversationRecord,
        *,
        title: str | None = None,
        people: Mapping[str, Role] | None = None,
        links: Mapping[str, ShareLink] | None = None,
    ) -> Conversation:
        """Change a record; share links that are over leave it on the way."""
        now = self.now()
        kept = record.links if links is None else links
        changed = record.model_copy(
            update={
                "title": record.title if title is None else title,
                "people": record.people if people is None else dict(people),
                "links": {each: link for each, link in kept.items() if link.expires_at > now},
            }
        )
        try:
            return _view(self.table.replace(record, changed), Role.OWNER, is_whole=True)
        except RecordChanged:
            raise _changed() from None


def _part_of(
    caller: Caller, record: ConversationRecord, standing: Standing
) -> tuple[Role, datetime | None]:
    """Return the role of a caller who was admitted, and when the right ends, if it does."""
    if isinstance(caller, Guest):
        link = record.links[caller.link]
        return link.role, link.expires_at
    role = record.role_of(caller.subject)
    if role is None:
        raise refuse(Reason.NOT_FOUND)
    return role, standing.key.expires_at if standing.key else None


def _record(standing: Standing) -> ConversationRecord:
    if standing.record is None:
        raise refuse(Reason.NOT_FOUND)
    return standing.record


def _changed() -> ProblemError:
    return ProblemError(
        HTTPStatus.CONFLICT, "changed", "Somebody else has changed this; read it again."
    )


def _too_many(what: str, most: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS, "too_many", f"There are {most} {what}; remove one first."
    )


def _view(record: ConversationRecord, role: Role, *, is_whole: bool = False) -> Conversation:
    links = tuple(_link(each, link) for each, link in sorted(record.links.items()))
    return Conversation(
        conversation_id=record.conversation_id,
        title=record.title,
        role=role,
        created_at=record.created_at,
        version=record.version,
        people=dict(record.people) if is_whole else None,
        links=links if is_whole else None,
    )


def _link(link_id: str, link: ShareLink) -> Link:
    return Link(
        link_id=link_id,
        role=cast("SharedRole", link.role.value),
        label=link.label,
        created_at=link.created_at,
        expires_at=link.expires_at,
        languages=link.languages,
    )


def _key(key: ApiKey) -> Key:
    return Key(
        key_id=key.key_id,
        label=key.label,
        scopes=tuple(sorted(key.scopes)),
        created_at=key.created_at,
        expires_at=key.expires_at,
    )
