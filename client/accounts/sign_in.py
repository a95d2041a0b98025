"""Signs a person in with a browser: authorization code with PKCE, on the loopback address.

Sources: RFC 8252 (native apps), RFC 7636 (PKCE), RFC 6749, OpenID Connect Core 1.0 (nonce). The
browser comes back to a port of this machine. Cognito compares that address as a text, so the ports
are fixed.

    NotSignedIn    the sign-in was refused, or nobody came back in time
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Final

from aiohttp import web
from pydantic import ConfigDict, Field, ValidationError
from yarl import URL

from access.messages import PROGRAM_PORTS, PROGRAM_REDIRECTS, AccountAccess
from client.accounts.site import parse_endpoint, send
from client.errors import NoConnection, NotSignedIn
from transcripts.models import Model

#: How long somebody may take to sign in, seconds.
PATIENCE: Final = 300.0
#: The page that the browser shows at the end. It is constant: nothing of the request is in it.
_DONE: Final = "Signed in. You can close this window and go back to the terminal.\n"
_FAILED: Final = "This sign-in was not started here, or was refused. See the terminal.\n"
_HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
#: The scope with which the answer has an ID token.
_OPENID: Final = "openid"
#: Those of a signed JWT.
_DOTS: Final = 2


class Tokens(Model):
    """The answer of a token endpoint (RFC 6749, section 5.1)."""

    model_config = ConfigDict(extra="ignore", alias_generator=None)

    access_token: Annotated[str, Field(min_length=1, repr=False)]
    #: Seconds from now.
    expires_in: Annotated[float, Field(gt=0)] = 300.0
    #: The refresh of an issuer that does not rotate them brings no new one.
    refresh_token: Annotated[str | None, Field(repr=False)] = None
    id_token: Annotated[str | None, Field(repr=False)] = None


class _TokenError(Model):
    """The error of a token endpoint (RFC 6749, section 5.2)."""

    model_config = ConfigDict(extra="ignore", alias_generator=None)

    error: str


@dataclass(slots=True)
class _Attempt:
    """One sign-in: what only we know, and what the browser brings back."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    code: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def challenge(self) -> str:
        digest = sha256(self.verifier.encode()).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def come_back(self, query: Mapping[str, str]) -> bool:
        """Take what the browser brings; return whether it belongs to this sign-in."""
        if not hmac.compare_digest(query.get("state", "").encode(), self.state.encode()):
            return False  # somebody else's: it must not end this one
        if self.code.done():
            return False
        if "code" in query:
            self.code.set_result(query["code"])
            return True
        self.code.set_exception(NotSignedIn("The sign-in was refused."))
        return False

    def check(self, tokens: Tokens) -> Tokens:
        """Return the tokens if their ID token belongs to this sign-in.

        Its signature is not verified: it came from the token endpoint by TLS (OpenID Connect Core
        1.0, section 3.1.3.7), and nothing else in it is used.

        Raises:
            NotSignedIn: it is missing, or of another sign-in.
        """
        nonce = _read_nonce(tokens.id_token or "")
        if not hmac.compare_digest(nonce.encode(), self.nonce.encode()):
            raise NotSignedIn("The issuer's answer belongs to another sign-in. Sign in again.")
        return tokens


async def sign_in(access: AccountAccess, show: Callable[[str], None]) -> Tokens:
    """Return the tokens of whoever signs in; `show` gets the address to open in a browser.

    Raises:
        NotSignedIn: it was refused, or nobody came back in time.
        NoConnection: the issuer does not answer.
        UsageError: the site names an address for sign-ins that a browser must not open.
    """
    attempt = _Attempt()
    authorization = parse_endpoint(access.authorization_endpoint)
    async with _listen(attempt) as redirect:
        question = {
            "response_type": "code",
            "client_id": access.program_client_id,
            "redirect_uri": redirect,
            "scope": " ".join(access.scopes),
            "state": attempt.state,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        if _OPENID in access.scopes:
            question["nonce"] = attempt.nonce
        show(str(authorization.update_query(question)))
        try:
            async with asyncio.timeout(PATIENCE):
                code = await attempt.code
        except TimeoutError:
            raise NotSignedIn(f"Nobody signed in within {PATIENCE:g} s.") from None
        tokens = await _ask(
            access,
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect,
            code_verifier=attempt.verifier,
        )
        return attempt.check(tokens) if _OPENID in access.scopes else tokens


async def refresh(access: AccountAccess, token: str) -> Tokens:
    """Return new tokens for a refresh token.

    Raises:
        NotSignedIn: it is not valid any more.
        NoConnection: the issuer does not answer, or cannot decide at the moment.
    """
    return await _ask(access, grant_type="refresh_token", refresh_token=token)


async def revoke(access: AccountAccess, token: str) -> bool:
    """End a refresh token at the issuer (RFC 7009); return whether it has ended there."""
    if access.revocation_endpoint is None:
        return False
    try:
        status, _ = await send(
            "POST",
            parse_endpoint(access.revocation_endpoint),
            data={"token": token, "client_id": access.program_client_id},
            is_secret=True,
        )
    except NoConnection:
        return False
    return status == HTTPStatus.OK


async def _ask(access: AccountAccess, **form: str) -> Tokens:
    """Ask the token endpoint.

    An outage of the issuer must not look like the end of a sign-in, so only `invalid_grant` is one.

    Raises:
        NotSignedIn: code or refresh token are not valid (any more).
        NoConnection: the issuer answers nothing, or nothing that decides it.
    """
    url = parse_endpoint(access.token_endpoint)
    status, body = await send(
        "POST", url, data={"client_id": access.program_client_id, **form}, is_secret=True
    )
    try:
        if status == HTTPStatus.OK:
            return Tokens.model_validate_json(body)
        if _TokenError.model_validate_json(body).error == "invalid_grant":
            raise NotSignedIn("The sign-in is over.")
    except ValidationError:
        pass
    raise NoConnection(f"{url.origin()} answers, but gives no tokens: HTTP {status}")


def _read_nonce(token: str) -> str:
    """Return the nonce in an ID token; an empty text if there is none."""
    payload = token.split(".")[1] if token.count(".") == _DOTS else ""
    try:
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        nonce = claims["nonce"]
    except (ValueError, KeyError, TypeError):
        return ""
    return nonce if isinstance(nonce, str) else ""


@contextlib.asynccontextmanager
async def _listen(attempt: _Attempt) -> AsyncIterator[str]:
    """Wait for the browser; yield the address to which it has to come back.

    Raises:
        NotSignedIn: all ports are in use.
    """

    async def answer(request: web.Request) -> web.Response:
        is_ours = attempt.come_back(request.query)
        text = _DONE if is_ours else _FAILED
        return web.Response(text=text, status=200 if is_ours else 400, headers=_HEADERS)

    app = web.Application(client_max_size=0)
    app.router.add_get(URL(PROGRAM_REDIRECTS[0]).path, answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        yield await _find_redirect(runner)
    finally:
        await runner.cleanup()


async def _find_redirect(runner: web.AppRunner) -> str:
    for redirect in PROGRAM_REDIRECTS:
        address = URL(redirect)
        with contextlib.suppress(OSError):
            await web.TCPSite(runner, address.host, address.port).start()
            return redirect
    ports = ", ".join(map(str, PROGRAM_PORTS))
    raise NotSignedIn(f"The ports {ports} are in use: free one of them.")
