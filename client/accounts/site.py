"""What a site says of its accounts (`/access.json`), and its API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from access.messages import ROOT, AccountAccess, OpenAccess, Problem
from client.errors import NoConnection, Refused, UsageError
from client.live.connection import CONNECT_SECONDS
from client.live.endpoints import languages_url
from foundation.origins import LOOPBACK_NAMES
from transcripts.models import Model

#: The most of an answer that is read, bytes; a page of conversations has some 100 kB.
MOST_BYTES = 4 * 2**20

_access: TypeAdapter[OpenAccess | AccountAccess] = TypeAdapter(OpenAccess | AccountAccess)
_M = TypeVar("_M", bound=Model)
_TIMEOUT = aiohttp.ClientTimeout(total=3 * CONNECT_SECONDS, connect=CONNECT_SECONDS)


def origin_of(base: str) -> URL:
    """Return the address of a site, such as `https://captions.example.com`.

    Raises:
        UsageError: `base` is not a URL of http, https, ws or wss.
    """
    return languages_url(base).origin()


async def find_access(base: str) -> OpenAccess | AccountAccess:
    """Return how a site is used. One that says nothing is open.

    Raises:
        NoConnection: it does not answer, or not in this form.
        UsageError: `base` is not a URL, or the site has accounts and is reached without TLS, where
            others on the network could name an address of theirs for the sign-in.
    """
    url = origin_of(base) / "access.json"
    status, body = await send("GET", url)
    if status == HTTPStatus.NOT_FOUND:
        return OpenAccess()
    try:
        if status != HTTPStatus.OK:
            raise NoConnection(f"{url} answers HTTP {status}")
        access = _access.validate_json(body)
    except ValidationError:
        # A service without a page, or a page of before.
        return OpenAccess()
    if isinstance(access, AccountAccess):
        check_secrecy(url)
    return access


@dataclass(frozen=True, slots=True)
class Api:
    """The API of a site, asked with one credential."""

    base: str
    credential: str

    async def ask(
        self,
        method: str,
        path: str,
        kind: type[_M],
        body: Model | None = None,
        query: Mapping[str, str] | None = None,
    ) -> _M:
        """Send a request and return the answer, as a `kind`.

        Raises:
            Refused: the API refuses it; the code is the problem's reason.
            NoConnection: it does not answer, or not in this form.
        """
        answer = await self._send(method, path, body, query or {})
        try:
            return kind.model_validate_json(answer)
        except ValidationError:
            raise NoConnection(f"{origin_of(self.base)} answers in a form of its own") from None

    async def order(self, method: str, path: str) -> None:
        """Send a request whose answer does not matter; otherwise as `ask`."""
        await self._send(method, path, None, {})

    async def _send(
        self, method: str, path: str, body: Model | None, query: Mapping[str, str]
    ) -> bytes:
        # A slash within a name is a part of the name.
        url = (origin_of(self.base) / ROOT.strip("/")).joinpath(*path.strip("/").split("/"))
        status, answer = await send(
            method,
            url.with_query(query),
            headers={"Authorization": f"Bearer {self.credential}"},
            json=None if body is None else body.model_dump(mode="json", by_alias=True),
            is_secret=True,
        )
        if status < HTTPStatus.BAD_REQUEST:
            return answer
        try:
            problem = Problem.model_validate_json(answer)
        except ValidationError:
            raise NoConnection(f"{url.origin()} answers HTTP {status}") from None
        retryable = problem.status == HTTPStatus.SERVICE_UNAVAILABLE
        raise Refused(problem.reason, problem.detail, retryable=retryable)


def parse_endpoint(text: str) -> URL:
    """Return an address that a site names for sign-ins.

    Raises:
        UsageError: it is not one, or of such a kind that no credential may go there.
    """
    try:
        url = URL(text)
    except ValueError:
        raise UsageError("An address that the site names for sign-ins is not a URL") from None
    check_secrecy(url)
    return url


def check_secrecy(url: URL) -> None:
    """Check that what is sent to `url` goes over TLS, or stays on this machine.

    Raises:
        UsageError: it would not be kept secret, or the URL is none of the web.
    """
    is_local = url.scheme == "http" and url.host in LOOPBACK_NAMES
    if not url.host or not (url.scheme == "https" or is_local):
        place = url.origin() if url.scheme and url.host else "An address of the site"
        raise UsageError(f"{place}: credentials are sent by https only")


async def send(
    method: str, url: URL, *, is_secret: bool = False, **arguments: Any
) -> tuple[int, bytes]:
    """Send a request; return status and body of the answer. Redirects are not followed.

    Args:
        method: of HTTP.
        url: where to.
        is_secret: whether a credential is in it, which goes over TLS or stays on this machine.
        arguments: further ones of aiohttp's `request`.

    Raises:
        NoConnection: nobody answers, or with too much.
        UsageError: the request is secret and would not be kept so.
    """
    if is_secret:
        check_secrecy(url)
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.request(method, url, allow_redirects=False, **arguments) as answer,
        ):
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > MOST_BYTES:
                    raise NoConnection(f"{url.origin()} answers with too much")
            return answer.status, bytes(body)
    except (aiohttp.ClientError, OSError) as error:
        # Without the error's own text, which may quote the address.
        reason = getattr(error, "os_error", None) or type(error).__name__
        raise NoConnection(f"{url.origin()} does not answer: {reason}") from None
