"""A browser that signs in over HTTP: it opens the form, sends it, and exchanges the code."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp

_INPUT = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered."""

    status: int
    headers: dict[str, str]
    text: str
    document: dict[str, Any]


@dataclass
class SignIn:
    """The way through the sign-in of the page at `page`, as `/access.json` describes it."""

    page: str
    client: aiohttp.ClientSession
    access: dict[str, Any]
    redirect: str
    client_id: str

    def __post_init__(self) -> None:
        self.verifier = secrets.token_urlsafe(48)
        self.state = secrets.token_urlsafe(16)

    @classmethod
    async def at(cls, page: str, client: aiohttp.ClientSession) -> SignIn:
        async with client.get(f"{page}/access.json") as answer:
            assert answer.status == 200
            assert answer.headers["Cache-Control"] == "no-cache"
            access = await answer.json()
        assert access["kind"] == "accounts"
        return cls(page, client, access, f"{page}/", access["pageClientId"])

    def question(self, **changes: str) -> dict[str, str]:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect,
            "scope": " ".join(self.access["scopes"]),
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        } | changes

    async def open_form(self, **changes: str) -> Answer:
        """Open the page with the form."""
        url = self.access["authorizationEndpoint"]
        async with self.client.get(
            url, params=self.question(**changes), allow_redirects=False
        ) as answer:
            return await _read(answer)

    async def open(self, address: str) -> Answer:
        """Open an address that somebody else made."""
        async with self.client.get(address, allow_redirects=False) as answer:
            return await _read(answer)

    async def submit(
        self, form: Answer, email: str, password: str, origin: str | None = None
    ) -> Answer:
        """Send the form as a browser does, with the origin of the page that holds it."""
        fields = {name: html.unescape(value) for name, value in _INPUT.findall(form.text)}
        async with self.client.post(
            f"{self.page}/login",
            data=fields | {"username": email, "password": password},
            headers={"Origin": origin or self.page},
            allow_redirects=False,
        ) as answer:
            return await _read(answer)

    def code_of(self, answer: Answer) -> str:
        """Return the code with which the browser is sent back."""
        assert answer.status == 302, answer.text
        location = answer.headers["Location"]
        assert location.startswith(f"{self.redirect}?")
        query = parse_qs(urlsplit(location).query)
        assert query["state"] == [self.state]
        return query["code"][0]

    async def exchange(self, code: str, **changes: str) -> Answer:
        """Exchange a code for tokens."""
        return await self.post_token(
            **{
                "grant_type": "authorization_code",
                "client_id": self.client_id,
                "redirect_uri": self.redirect,
                "code": code,
                "code_verifier": self.verifier,
                **changes,
            }
        )

    async def refresh(self, token: str, **changes: str) -> Answer:
        """Exchange a refresh token for new tokens."""
        return await self.post_token(
            **{
                "grant_type": "refresh_token",
                "client_id": self.client_id,
                "refresh_token": token,
                **changes,
            }
        )

    async def post_token(self, **form: str) -> Answer:
        async with self.client.post(self.access["tokenEndpoint"], data=form) as answer:
            return await _read(answer)

    async def tokens(self, email: str, password: str) -> dict[str, Any]:
        """Sign in, and return the tokens."""
        answer = await self.submit(await self.open_form(), email, password)
        exchanged = await self.exchange(self.code_of(answer))
        assert exchanged.status == 200, exchanged.text
        return exchanged.document


async def _read(answer: aiohttp.ClientResponse) -> Answer:
    text = await answer.text()
    document = await answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
    return Answer(answer.status, dict(answer.headers), text, document)
