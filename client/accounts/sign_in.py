"""Signs a person in with a browser: authorization code with PKCE, on the loopback address.

Sources: RFC 8252 (native apps), RFC 7636 (PKCE), RFC 6749. The browser comes back to a port of this
machine. Cognito compares that address as a text, so the ports are fixed.

    NotSignedIn    the sign-in was refused, or nobody came back in time
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Final

from aiohttp import web
from pydantic import ConfigDict, Field, ValidationError
from yarl import URL

from access.messages import PROGRAM_PORTS, PROGRAM_REDIRECTS, AccountAccess
from client.accounts.site import send
from client.errors import NoConnection, NotSignedIn
from transcripts.models import Model

#: How long somebody may take to sign in, seconds.
PATIENCE: Final = 300.0
#: The page that the browser shows at the end. It is constant: nothing of the request is in it.
_DONE: Final = "Signed in. You can close this window and go back to the terminal.\n"
_FAILED: Final = "This sign-in was not started here, or was refused. See the terminal.\n"
_HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class Tokens(Model):
    """The answer of a token endpoint (RFC 6749, section 5.1)."""

    model_config = ConfigDict(extra="ignore", alias_generator=None)

    access_token: Annotated[str, Field(min_length=1, repr=False)]
    #: Seconds from now.
    expires_in: Annotated[float, Field(gt=0)] = 300.0
    #: The refresh of an issuer that does not rotate them brings no new one.
    refresh_token: Annotated[str | None, Field(repr=False)] = None


@dataclass(slots=True)
class _Attempt:
    """One sign-in: what only we know, and what the browser brings back."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
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


async def sign_in(access: AccountAccess, show: Callable[[str], None]) -> Tokens:
    """Return the tokens of whoever signs in; `show` gets the address to open in a browser.

    Raises:
        NotSignedIn: it was refused, or nobody came back in time.
        NoConnection: the issuer does not answer.
    """
    attempt = _Attempt()
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
        show(str(URL(access.authorization_endpoint).update_query(question)))
        try:
            async with asyncio.timeout(PATIENCE):
                code = await attempt.code
        except TimeoutError:
            raise NotSignedIn(f"Nobody signed in within {PATIENCE:g} s.") from None
        return await _ask(
            access,
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect,
            code_verifier=attempt.verifier,
        )


async def refresh(access: AccountAccess, token: str) -> Tokens:
    """Return new tokens for a refresh token.

    Raises:
        NotSignedIn: it is not valid any more.
        NoConnection: the issuer does not answer.
    """
    return await _ask(access, grant_type="refresh_token", refresh_token=token)


async def revoke(access: AccountAccess, token: str) -> None:
    """End a refresh token at the issuer, where it can be ended there (RFC 7009)."""
    if access.revocation_endpoint is not None:
        with contextlib.suppress(NoConnection):
            await send(
                "POST",
                URL(access.revocation_endpoint),
                data={"token": token, "client_id": access.program_client_id},
                is_secret=True,
            )


async def _ask(access: AccountAccess, **form: str) -> Tokens:
    _, body = await send(
        "POST",
        URL(access.token_endpoint),
        data={"client_id": access.program_client_id, **form},
        is_secret=True,
    )
    try:
        return Tokens.model_validate_json(body)
    except ValidationError:
        raise NotSignedIn("The sign-in is over.") from None


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
