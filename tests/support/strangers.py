"""Requests of strangers: a crawler over every known route, and a fuzzer, both without a right."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from access.messages import ROOT as API
from access.secret import make_id
from access.tickets import TYPE
from tests.support.access import forge, hs256, issuer_key, signing_key

#: The API's description, which `make protocol` renders from its routes.
_DESCRIPTION = Path(__file__).parents[2] / "docs" / "api.json"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
#: Of the page, the sign-in and the service, and what should be nowhere.
_PLACES = (
    "/",
    "/index.html",
    "/access.json",
    "/assets/",
    "/metrics",
    "/health",
    "/.git/config",
    "/oauth2/authorize",
    "/oauth2/token",
    "/oauth2/revoke",
    "/oauth2/userInfo",
    "/login",
    "/logout",
    "/signup",
    "/_ministack/ses/messages",
    "/_aws/execute-api/x/$default/api/app/v1/me",
    "/2015-03-31/functions",
    "/api",
    "/api/",
    "/api/app",
    "/api/app/v1",
    "/api/app/v2/me",
    "/api/v1/recordings",
    "/api/stt/languages",
    "/api/stt/ticket",
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a stranger may have found out: ids are in addresses and logs, the rest is public."""

    host: str
    conversation: str
    link: str
    key: str
    person: str
    ticket_key: str
    issuer_key: str
    draw: random.Random = field(default_factory=lambda: random.Random(14))  # noqa: S311 - repeats

    # --- a crawler ---------------------------------------------------------------------------

    def crawl(self) -> Iterator[bytes]:
        """Yield a request of each method to each route, and to places that are none."""
        described = json.loads(_DESCRIPTION.read_text())["paths"]
        routes = [self._fill(path) for path in described]
        for path in (*routes, *self._sockets(), *_PLACES):
            for method in _METHODS:
                yield self._request(method, path, (), b"")
        for path in self._sockets():
            yield self._request("GET", path, _UPGRADE, b"")

    def _sockets(self) -> tuple[str, str, str]:
        read = f"/api/stt/connect?conversationId={self.conversation}"
        speak = f"/api/stt/transcribe?sampleRate=16000&conversationId={self.conversation}"
        return read, f"{read}&mode=snapshot", speak

    def _fill(self, path: str) -> str:
        known = {
            "conversation_id": self.conversation,
            "link_id": self.link,
            "key_id": self.key,
            "subject": self.person,
            "user": self.person,
        }
        return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], self.conversation), path)

    # --- a fuzzer ----------------------------------------------------------------------------

    def call_api(self) -> bytes:
        """Return a request to the API, near to a real one, without a valid credential."""
        paths = [
            "/me",
            "/conversations",
            f"/conversations?cursor={self._junk()}",
            f"/conversations/{self._id(self.conversation)}",
            f"/conversations/{self._id(self.conversation)}/people/{self._id(self.person)}",
            f"/conversations/{self._id(self.conversation)}/links",
            f"/conversations/{self._id(self.conversation)}/links/{self._id(self.link)}",
            "/tickets",
            "/tickets",
            "/keys",
            f"/keys/{self._id(self.key)}",
            "/people",
            f"/people/{self._id(self.person)}",
            f"/{self._junk()}",
        ]
        wanted = {"conversationId": self._id(self.conversation), "action": "read"}
        bodies = [
            b"",
            json.dumps(wanted).encode(),
            json.dumps(wanted | {"action": "speak"}).encode(),
            b'{"title": "Mine"}',
            b'{"role": "speaker", "label": "mine", "days": 90}',
            b'{"email": "eve@example.com", "isAdministrator": true}',
            b'{"isBlocked": true}',
            b'{"label": "mine", "scopes": ["read"]}',
            b'{"title": "\\ud800"}',
            b'"\xed\xa0\x80"',
            '"a"'.encode("utf-16"),
            b"[" * 5_000,
            self._junk().encode(),
        ]
        headers = [f"Content-Type: {self.draw.choice(['application/json'] * 4 + ['text/plain'])}"]
        credential = self._credential()
        if credential is not None:
            headers.append(f"Authorization: {credential}")
        if self.draw.random() < 0.2:
            headers.append(f"X-Cloudscribe-Edge: {self._junk()}")
        method = self.draw.choice(_METHODS[:5])
        path = f"{API}{self.draw.choice(paths)}"
        return self._request(method, path, headers, self.draw.choice(bodies))

    def open_socket(self) -> bytes:
        """Return a handshake, or another request to the service, without a valid ticket."""
        path = self.draw.choice([*self._sockets(), "/api/stt/languages", "/api/stt/ticket"])
        path += self.draw.choice(["", f"&{self._junk()}", "&language=de", "&ticket=a.b.c"])
        headers = list(_UPGRADE) if self.draw.random() < 0.9 else []
        ticket = self.draw.choice([self._forged_ticket, self._junk])()
        headers += self.draw.choice(
            [
                [],
                [f"Authorization: Bearer {ticket}"],
                [f"Sec-WebSocket-Protocol: cloudscribe.v1, ticket.{ticket}"],
                [f"Authorization: Bearer {ticket}", f"Sec-WebSocket-Protocol: ticket.{ticket}"],
                [f"Cookie: ticket={ticket}", "X-Forwarded-For: 127.0.0.1"],
                [f"Authorization: {self._credential() or 'Bearer'}"],
            ]
        )
        return self._request("GET", path, headers, b"")

    def ask_elsewhere(self) -> bytes:
        """Return a request to the page, the sign-in, or nothing at all."""
        place, junk = self.draw.choice(_PLACES), self._junk()
        path = self.draw.choice(
            [
                f"{place}?{junk}",
                f"{place}/{junk}",
                f"/{junk}{API}/me",
                f"/%2e%2e{place}",
                f"//evil.example{place}",
                f"/oauth2/authorize?response_type=code&redirect_uri=//evil.example&client_id={junk}",
            ]
        )
        form = f"grant_type=refresh_token&refresh_token={self._junk()}&client_id={self._junk()}"
        body = self.draw.choice([b"", form.encode(), b"username=ada%40example.com&password=x"])
        headers = ["Content-Type: application/x-www-form-urlencoded"]
        return self._request(self.draw.choice(_METHODS), path, headers, body)

    # --- parts -------------------------------------------------------------------------------

    def _request(self, method: str, path: str, headers: Sequence[str], body: bytes) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", *headers]
        if not any("Upgrade" in line for line in lines):
            lines.append("Connection: close")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _id(self, known: str) -> str:
        return self.draw.choice([known, known, make_id(), self._junk()])

    def _junk(self) -> str:
        letters = self.draw.choices("abcXYZ019%&=./-_\u00e4\u0000 ", k=self.draw.randrange(1, 30))
        return quote("".join(letters), safe="%=" if self.draw.random() < 0.1 else "")

    def _credential(self) -> str | None:
        claims = {"sub": self.person, "token_use": "access", "exp": 2**33, "iat": 0}
        rsa, public = issuer_key(), json.dumps(issuer_key().public()).encode()
        makes: list[Callable[[], str | None]] = [
            lambda: None,
            lambda: "Bearer",
            lambda: f"Bearer {self._junk()}",
            lambda: f"Basic {base64.b64encode(b'ada:x').decode()}",
            lambda: f"Bearer csl_{self.link}_{make_id()}",
            lambda: f"Bearer csk_{self.key}_{make_id()}",
            lambda: f"Bearer {self.link}",
            lambda: f"Bearer {forge({'alg': 'none', 'kid': self.issuer_key}, claims)}",
            lambda: f"Bearer {forge({'alg': 'RS256', 'kid': make_id()}, claims)}",
            lambda: f"Bearer {_sign_as(self.issuer_key, rsa.sign())}",
            lambda: (
                "Bearer " + forge({"alg": "HS256", "kid": self.issuer_key}, claims, hs256(public))
            ),
            lambda: f"Bearer {self._forged_ticket()}",
        ]
        return self.draw.choice(makes)()

    def _forged_ticket(self) -> str:
        claims = {
            "jti": make_id(),
            "cid": self.conversation,
            "act": self.draw.choice(["read", "speak"]),
            "knd": self.draw.choice(["person", "guest"]),
            "sub": self.draw.choice([self.person, self.link]),
            "aud": "live",
            "iat": 0,
            "exp": 2**33,
        }
        header = {
            "alg": self.draw.choice(["EdDSA"] * 6 + ["none", "HS256"]),
            # Each ticket with an unknown id waits for a reading of the keys, for up to 5 s.
            "kid": self.draw.choice([self.ticket_key] * 100 + [make_id()] + [self._junk()] * 20),
            "typ": TYPE,
        }
        return forge(header, claims, signing_key().key.sign)


def _sign_as(key_id: str, token: str) -> str:
    """Return a token with another key id in its header; its signature is another key's anyway."""
    header = json.dumps({"alg": "RS256", "kid": key_id}).encode()
    encoded = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
    return f"{encoded}.{token.partition('.')[2]}"
