"""A site with accounts on loopback: a fake issuer, a fake API, and a fake of the live service.

The issuer checks PKCE and rotates refresh tokens; a token that is used twice ends the sign-in. The
rest answers what the tests need.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from yarl import URL

from access.messages import ROOT, Conversation, IssuedTicket, Me, PeoplePage, PersonView, Problem
from access.records import Role
from tests.support.access import LATER, NOW
from transcripts.models import Model
from transcripts.protocol import Snapshot, encode

CONVERSATION = "standup"
CLIENT = "program"


@dataclass(slots=True)
class Site:
    """The site, and what it has seen; a test may change all public fields."""

    url: str = ""
    #: Seconds that an access token lasts.
    lifetime: float = 3_600.0
    #: The status of the token endpoint, if it does not work.
    outage: int | None = None
    #: What replaces the nonce in the ID token.
    nonce: str | None = None
    #: Refresh tokens that are valid, and tokens of access.
    refresh_tokens: set[str] = field(default_factory=set)
    access_tokens: set[str] = field(default_factory=set)
    #: Refresh tokens as they were used.
    used: list[str] = field(default_factory=list)
    is_refreshing: asyncio.Event = field(default_factory=asyncio.Event)
    revoked: list[str] = field(default_factory=list)
    #: Tickets in the order of their issue, and those that the service takes.
    tickets: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    #: Requests of the API, as method, path and body.
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    #: What every handshake is refused with, beside tickets that are not valid.
    handshake: int | None = None
    _codes: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def secrets(self) -> set[str]:
        """Everything that must not be printed."""
        return {*self.refresh_tokens, *self.access_tokens, *self.used, *self.tickets}

    async def answer_access(self, _: web.Request) -> web.Response:
        """Answer `/access.json`."""
        return web.json_response(
            {
                "kind": "accounts",
                "issuer": self.url,
                "pageClientId": "page",
                "programClientId": CLIENT,
                "authorizationEndpoint": f"{self.url}/authorize",
                "tokenEndpoint": f"{self.url}/token",
                "revocationEndpoint": f"{self.url}/revoke",
            }
        )

    async def authorize(self, request: web.Request) -> web.Response:
        """Sign in whoever comes, as an issuer that shows no form."""
        query, code = request.query, secrets.token_hex(8)
        assert query["code_challenge_method"] == "S256"
        assert query["client_id"] == CLIENT
        self._codes[code] = query["code_challenge"], query["redirect_uri"], query.get("nonce", "")
        back = URL(query["redirect_uri"]).with_query(code=code, state=query["state"])
        raise web.HTTPFound(back)

    async def answer_token(self, request: web.Request) -> web.Response:
        """Exchange a code, or a refresh token."""
        form = await request.post()
        if self.outage is not None:
            return web.Response(status=self.outage, text="<html>")
        if form["grant_type"] == "refresh_token":
            token = str(form["refresh_token"])
            self.used.append(token)
            self.is_refreshing.set()
            if token not in self.refresh_tokens:
                return web.json_response({"error": "invalid_grant"}, status=400)
            self.refresh_tokens.remove(token)
            return self._tokens("")
        challenge, redirect, nonce = self._codes.pop(str(form["code"]))
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
        assert form["redirect_uri"] == redirect
        return self._tokens(nonce)

    def _tokens(self, nonce: str) -> web.Response:
        access, refresh = f"access-{secrets.token_hex(8)}", f"refresh-{secrets.token_hex(8)}"
        self.access_tokens.add(access)
        self.refresh_tokens.add(refresh)
        claims = json.dumps({"nonce": nonce if self.nonce is None else self.nonce}).encode()
        payload = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
        return web.json_response(
            {
                "access_token": access,
                "refresh_token": refresh,
                "id_token": f"e30.{payload}.c2ln",
                "expires_in": self.lifetime,
                "token_type": "Bearer",
            }
        )

    async def answer_revocation(self, request: web.Request) -> web.Response:
        """End a refresh token."""
        token = str((await request.post())["token"])
        self.revoked.append(token)
        self.refresh_tokens.discard(token)
        return web.Response()

    async def answer_api(self, request: web.Request) -> web.Response:
        """Answer the API."""
        body: Any = await request.json() if request.can_read_body else None
        path = request.path.removeprefix(ROOT)
        self.asked.append((request.method, path, body))
        credential = request.headers["Authorization"].removeprefix("Bearer ")
        if not credential.startswith(("csk_", "csl_")) and credential not in self.access_tokens:
            return _problem(401, "token_invalid")
        if path == "/me":
            return _json(Me(subject="ada", is_administrator=True))
        if path == "/tickets":
            ticket = f"ticket-{secrets.token_hex(8)}"
            self.tickets.append(ticket)
            self.valid.add(ticket)
            return _json(
                IssuedTicket(
                    ticket=ticket,
                    conversation_id=body["conversationId"],
                    title="Stand-up",
                    role=Role.READER,
                    action=body["action"],
                    expires_at=LATER,
                    seconds_left=600,
                )
            )
        if path.startswith("/people"):
            ada = PersonView(subject="ada", user="user-1", email="ada@example.com", has_joined=True)
            return _json(ada if request.method != "GET" else PeoplePage(people=(ada,)))
        return _json(
            Conversation(
                conversation_id=CONVERSATION,
                title="Stand-up",
                role=Role.OWNER,
                created_at=NOW,
                version=7,
                people={"sam": Role.READER},
            )
        )

    async def answer_ticket(self, request: web.Request) -> web.Response:
        """Answer whether a ticket is valid."""
        return web.Response() if self._is_valid(request) else _problem(401, "ticket_expired")

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Open a viewer's socket, send a snapshot, and end."""
        if self.handshake is not None:
            return _problem(self.handshake, "ticket_mismatch")
        if not self._is_valid(request):
            return _problem(401, "ticket_expired")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        snapshot = Snapshot(conversation_id=CONVERSATION, utterances=(), seq=1)
        await socket.send_str(encode(snapshot).decode())
        await socket.close(code=1001)
        return socket

    def _is_valid(self, request: web.Request) -> bool:
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self.valid


def _json(answer: Model) -> web.Response:
    return web.json_response(answer.model_dump(mode="json", by_alias=True, exclude_none=True))


def _problem(status: int, reason: str) -> web.Response:
    problem = Problem(title="Refused", status=status, detail="It is refused.", reason=reason)
    return web.json_response(problem.model_dump(mode="json", by_alias=True), status=status)


@contextlib.asynccontextmanager
async def serve_site() -> AsyncIterator[Site]:
    """Serve a site on a free port of loopback."""
    site = Site()
    app = web.Application()
    app.router.add_get("/access.json", site.answer_access)
    app.router.add_get("/authorize", site.authorize)
    app.router.add_post("/token", site.answer_token)
    app.router.add_post("/revoke", site.answer_revocation)
    app.router.add_route("*", ROOT + "/{rest:.*}", site.answer_api)
    app.router.add_get("/api/stt/ticket", site.answer_ticket)
    app.router.add_get("/api/stt/connect", site.connect)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        tcp = web.TCPSite(runner, "127.0.0.1", 0)
        await tcp.start()
        host, port = runner.addresses[0][:2]
        site.url = f"http://{host}:{port}"
        yield site
    finally:
        await runner.cleanup()
