"""A fake issuer and API of accounts beside the fake service, at the page's address.

The issuer signs everybody in at once, checks PKCE, and rotates refresh tokens. The API keeps
conversations, links, keys and people in memory. Sockets need a ticket, as at the real service.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from access.messages import (
    KEY_DAYS,
    ROOT,
    AccountAccess,
    ChangedPerson,
    Conversation,
    ConversationPage,
    Invitation,
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
    NewRole,
    NewTicket,
    PeoplePage,
    PersonView,
    Problem,
)
from access.records import Role
from access.secret import make_id, make_secret
from tests.support.fake_service import FakeService, serve_page
from transcripts.models import Model
from transcripts.protocol import ErrorCode

LIFETIME = timedelta(hours=1)
#: The person who signs in, an administrator, and somebody else.
ADA = "ada".ljust(26, "a")
SAM = "sam".ljust(26, "s")


@dataclass(slots=True)
class FakeAccounts:
    """People, conversations and links of one site; a test may change all public fields."""

    service: FakeService
    url: str = ""
    #: The codes of sign-ins with their questions.
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    access_tokens: set[str] = field(default_factory=set)
    refresh_tokens: set[str] = field(default_factory=set)
    renewals: int = 0
    #: How long access tokens are said to last, seconds.
    token_seconds: int = 3_600
    conversations: dict[str, Conversation] = field(default_factory=dict)
    #: The links' secrets with their conversations.
    secrets: dict[str, tuple[str, Link]] = field(default_factory=dict)
    #: Tickets that open sockets, with their actions.
    tickets: dict[str, str] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    people: dict[str, PersonView] = field(
        default_factory=lambda: {
            name: PersonView(
                subject=subject, user=name, email=f"{name}@example.com", has_joined=True
            )
            for name, subject in (("ada", ADA), ("sam", SAM))
        }
    )
    #: How many tickets were issued to guests.
    guest_tickets: int = 0

    # --- the issuer -----------------------------------------------------------------------

    async def authorize(self, request: web.Request) -> web.Response:
        """Send the browser back with a code, as after a password."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = dict(request.query)
        back = request.query["redirect_uri"]
        raise web.HTTPFound(f"{back}?code={code}&state={request.query['state']}")

    async def token(self, request: web.Request) -> web.Response:
        """Exchange a code or a refresh token."""
        form = await request.post()
        if form["grant_type"] == "authorization_code":
            question = self.codes.pop(str(form["code"]), None)
            digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
            if question is None or question["code_challenge"] != _base64(digest):
                return web.json_response({"error": "invalid_grant"}, status=400)
            return self._tokens(question["nonce"])
        refresh = str(form["refresh_token"])
        if refresh not in self.refresh_tokens:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.refresh_tokens.discard(refresh)
        self.renewals += 1
        return self._tokens()

    def _tokens(self, nonce: str | None = None) -> web.Response:
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.access_tokens.add(access)
        self.refresh_tokens.add(refresh)
        now = int(time.time())
        claims = {"iss": self.url, "aud": "page", "sub": "ada", "iat": now, "exp": now + 3_600}
        id_token = ".".join(
            (
                _base64(json.dumps({"alg": "RS256"}).encode()),
                _base64(json.dumps(claims | {"nonce": nonce}).encode()),
                _base64(b"signature"),
            )
        )
        return web.json_response(
            {
                "access_token": access,
                "refresh_token": refresh,
                "token_type": "Bearer",
                "expires_in": self.token_seconds,
            }
            | ({"id_token": id_token} if nonce else {})
        )

    async def revoke_token(self, request: web.Request) -> web.Response:
        """Revoke a refresh token."""
        form = await request.post()
        self.refresh_tokens.discard(str(form["token"]))
        return web.Response()

    async def logout(self, request: web.Request) -> web.Response:
        """End the session, and send the browser back."""
        raise web.HTTPFound(request.query["logout_uri"])

    async def serve_access(self, _request: web.Request) -> web.Response:
        """Serve `/access.json`."""
        return _json(
            AccountAccess(
                issuer=self.url,
                page_client_id="page",
                program_client_id="program",
                authorization_endpoint=f"{self.url}/oauth2/authorize",
                token_endpoint=f"{self.url}/oauth2/token",
                logout_endpoint=f"{self.url}/logout",
                revocation_endpoint=f"{self.url}/oauth2/revoke",
            )
        )

    # --- the API --------------------------------------------------------------------------

    async def list_conversations(self, request: web.Request) -> web.Response:
        """List all conversations, which are the one person's."""
        self._require_person(request)
        return _json(ConversationPage(conversations=tuple(self.conversations.values())))

    async def create(self, request: web.Request) -> web.Response:
        """Create a conversation."""
        self._require_person(request)
        wanted = NewConversation.model_validate(await request.json())
        created = Conversation(
            conversation_id=make_id(),
            title=wanted.title,
            role=Role.OWNER,
            created_at=datetime.now(UTC),
            version=1,
            people={},
            links=(),
        )
        self.conversations[created.conversation_id] = created
        return _json(created, status=201)

    async def get(self, request: web.Request) -> web.Response:
        """Return a conversation."""
        self._require_person(request)
        return _json(self._find(request))

    async def share(self, request: web.Request) -> web.Response:
        """Make a link."""
        self._require_person(request)
        conversation = self._find(request)
        wanted = NewLink.model_validate(await request.json())
        secret = make_secret("csl")
        now = datetime.now(UTC)
        link = Link(
            link_id=secret.id,
            role=wanted.role,
            label=wanted.label,
            created_at=now,
            expires_at=now + timedelta(days=wanted.days),
        )
        self._change(conversation, links=(*(conversation.links or ()), link))
        self.secrets[str(secret)] = (conversation.conversation_id, link)
        return _json(LinkWithSecret(link=link, secret=str(secret)), status=201)

    async def revoke_link(self, request: web.Request) -> web.Response:
        """Revoke a link, and end the sockets of those who read."""
        self._require_person(request)
        conversation, link_id = self._find(request), request.match_info["link"]
        self._change(
            conversation,
            links=tuple(each for each in conversation.links or () if each.link_id != link_id),
        )
        self.secrets = {
            secret: (of, link)
            for secret, (of, link) in self.secrets.items()
            if link.link_id != link_id
        }
        await self.service.refuse_viewers(ErrorCode.ACCESS_REVOKED)
        return _json(self.conversations[conversation.conversation_id])

    async def give_role(self, request: web.Request) -> web.Response:
        """Give a person a role."""
        self._require_person(request)
        conversation, subject = self._find(request), request.match_info["subject"]
        role = Role(NewRole.model_validate(await request.json()).role)
        self._change(conversation, people={**(conversation.people or {}), subject: role})
        return _json(self._find(request))

    async def remove_person(self, request: web.Request) -> web.Response:
        """Take a person's role away."""
        self._require_person(request)
        conversation, subject = self._find(request), request.match_info["subject"]
        others = {
            each: role for each, role in (conversation.people or {}).items() if each != subject
        }
        self._change(conversation, people=others)
        return _json(self._find(request))

    async def describe(self, request: web.Request) -> web.Response:
        """Say who is signed in."""
        self._require_person(request)
        return _json(Me(subject=ADA, is_administrator=True))

    async def list_keys(self, request: web.Request) -> web.Response:
        """List the API keys."""
        self._require_person(request)
        return _json(KeyList(keys=self.keys))

    async def add_key(self, request: web.Request) -> web.Response:
        """Make an API key."""
        self._require_person(request)
        wanted = NewKey.model_validate(await request.json())
        secret, now = make_secret("csk"), datetime.now(UTC)
        key = Key(
            key_id=secret.id,
            label=wanted.label,
            scopes=wanted.scopes,
            created_at=now,
            expires_at=now + timedelta(days=KEY_DAYS),
        )
        self.keys = (*self.keys, key)
        return _json(KeyWithSecret(key=key, secret=str(secret)), status=201)

    async def remove_key(self, request: web.Request) -> web.Response:
        """Revoke an API key."""
        self._require_person(request)
        self.keys = tuple(key for key in self.keys if key.key_id != request.match_info["key"])
        return web.Response(status=204)

    async def list_people(self, request: web.Request) -> web.Response:
        """List the people."""
        self._require_person(request)
        return _json(PeoplePage(people=tuple(self.people.values())))

    async def invite(self, request: web.Request) -> web.Response:
        """Add a person."""
        self._require_person(request)
        email = Invitation.model_validate(await request.json()).email
        user = email.partition("@")[0]
        self.people[user] = PersonView(subject=make_id(), user=user, email=email)
        return _json(self.people[user], status=201)

    async def change_person(self, request: web.Request) -> web.Response:
        """Block a person, or let them in again."""
        self._require_person(request)
        user = request.match_info["user"]
        wanted = ChangedPerson.model_validate(await request.json())
        changed = self.people[user].model_copy(update={"is_blocked": wanted.is_blocked})
        self.people[user] = changed
        return _json(changed)

    async def issue_ticket(self, request: web.Request) -> web.Response:
        """Issue a ticket to the person, or to a guest with a link."""
        wanted = NewTicket.model_validate(await request.json())
        credential = _credential(request)
        conversation = self.conversations.get(wanted.conversation_id)
        role = Role.OWNER
        if credential.startswith("csl_"):
            of, link = self.secrets.get(credential, ("", None))
            if link is None or of != wanted.conversation_id:
                raise _refusal(401, "link_invalid")
            role = Role(link.role)
            self.guest_tickets += 1
        else:
            self._require_person(request)
        if conversation is None:
            raise _refusal(404, "not_found")
        ticket = secrets.token_urlsafe(24)
        self.tickets[ticket] = wanted.action
        return _json(
            IssuedTicket(
                ticket=ticket,
                conversation_id=wanted.conversation_id,
                title=conversation.title,
                role=role,
                action=wanted.action,
                expires_at=datetime.now(UTC) + LIFETIME,
                seconds_left=int(LIFETIME.total_seconds()),
            ),
            status=201,
        )

    # --- sockets --------------------------------------------------------------------------

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve a viewer who has a ticket."""
        self._take_ticket(request, "read")
        return await self.service.connect(request)

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """Serve a speaker who has an unused ticket."""
        self._take_ticket(request, "speak")
        return await self.service.transcribe(request)

    async def check_ticket(self, request: web.Request) -> web.Response:
        """Say whether a ticket is valid."""
        if _credential(request) not in self.tickets:
            raise _refusal(401, "ticket_invalid")
        return web.Response(status=204)

    def _take_ticket(self, request: web.Request, action: str) -> None:
        assert not {"ticket", "token"} & set(request.query), "a credential is in an address"
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
        ticket = next((each[7:] for each in offered if each.startswith("ticket.")), "")
        if offered[0] != "cloudscribe.v1" or self.tickets.get(ticket) != action:
            raise _refusal(401, "ticket_invalid")
        if action == "speak":
            del self.tickets[ticket]

    def _require_person(self, request: web.Request) -> None:
        if _credential(request) not in self.access_tokens:
            raise _refusal(401, "token_invalid")

    def _find(self, request: web.Request) -> Conversation:
        found = self.conversations.get(request.match_info["id"])
        if found is None:
            raise _refusal(404, "not_found")
        return found

    def _change(self, conversation: Conversation, **changes: object) -> None:
        self.conversations[conversation.conversation_id] = conversation.model_copy(
            update=changes | {"version": conversation.version + 1}
        )


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _credential(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _json(body: Model, *, status: int = 200) -> web.Response:
    return web.json_response(
        text=body.model_dump_json(by_alias=True, exclude_none=True), status=status
    )


def _refusal(status: int, reason: str) -> web.HTTPException:
    problem = Problem(title="No", status=status, detail="This is a test.", reason=reason)
    kind: Any = {401: web.HTTPUnauthorized, 404: web.HTTPNotFound}[status]
    refusal: web.HTTPException = kind(
        text=problem.model_dump_json(by_alias=True), content_type="application/problem+json"
    )
    return refusal


@contextlib.asynccontextmanager
async def fake_accounts() -> AsyncIterator[FakeAccounts]:
    """Run the page with accounts on a free port; `frontend/dist` must be built."""
    site = FakeAccounts(FakeService())
    app = web.Application()
    routes = app.router
    routes.add_get("/access.json", site.serve_access)
    routes.add_get("/oauth2/authorize", site.authorize)
    routes.add_post("/oauth2/token", site.token)
    routes.add_post("/oauth2/revoke", site.revoke_token)
    routes.add_get("/logout", site.logout)
    routes.add_get(f"{ROOT}/conversations", site.list_conversations)
    routes.add_post(f"{ROOT}/conversations", site.create)
    routes.add_get(f"{ROOT}/conversations/{{id}}", site.get)
    routes.add_post(f"{ROOT}/conversations/{{id}}/links", site.share)
    routes.add_delete(f"{ROOT}/conversations/{{id}}/links/{{link}}", site.revoke_link)
    routes.add_put(f"{ROOT}/conversations/{{id}}/people/{{subject}}", site.give_role)
    routes.add_delete(f"{ROOT}/conversations/{{id}}/people/{{subject}}", site.remove_person)
    routes.add_post(f"{ROOT}/tickets", site.issue_ticket)
    routes.add_get(f"{ROOT}/me", site.describe)
    routes.add_get(f"{ROOT}/keys", site.list_keys)
    routes.add_post(f"{ROOT}/keys", site.add_key)
    routes.add_delete(f"{ROOT}/keys/{{key}}", site.remove_key)
    routes.add_get(f"{ROOT}/people", site.list_people)
    routes.add_post(f"{ROOT}/people", site.invite)
    routes.add_patch(f"{ROOT}/people/{{user}}", site.change_person)
    routes.add_get("/api/stt/ticket", site.check_ticket)
    routes.add_get("/api/stt/connect", site.connect)
    routes.add_get("/api/stt/transcribe", site.transcribe)
    routes.add_get("/api/stt/languages", site.service.serve_languages)
    routes.add_get("/{name:.*}", serve_page)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        site.url = site.service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield site
    finally:
        site.service.cut()
        await runner.cleanup()
