"""The credential with which the API of a site is asked, and tickets for its sockets."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError
from yarl import URL

from access.messages import AccountAccess, IssuedTicket, NewTicket
from access.secret import parse_secret
from client.accounts.sign_in import refresh
from client.accounts.sign_ins import SignIn, SignIns
from client.accounts.site import Api, find_access, origin_of
from client.errors import NotSignedIn, UsageError
from client.live.connection import SIGN_IN_FIRST
from transcripts.models import ConversationId

#: The environment variable with an API key. An argument would be in the list of processes.
KEY_VARIABLE: Final = "CLOUDSCRIBE_API_KEY"
#: A ticket that ends so soon is not used again, seconds.
_MARGIN: Final = 30.0
_FRAGMENT: Final = re.compile(r"/c/([^/]+)/(csl_[a-z2-7_]+)")
_conversation: TypeAdapter[str] = TypeAdapter(ConversationId)


@dataclass(frozen=True, slots=True)
class ShareLink:
    """A share link: the site, the conversation, and the secret."""

    base: str
    conversation_id: str
    secret: str

    @classmethod
    def parse(cls, text: str) -> ShareLink:
        """Return the link in a URL such as `https://captions.example.com/#/c/ID/csl_...`.

        Raises:
            UsageError: it is not one. The message does not quote it.
        """
        none = UsageError("--link: this is not a share link, which has #/c/ and csl_")
        try:
            url = URL(text)
            found = _FRAGMENT.fullmatch(url.fragment)
            base = str(url.origin())
            conversation_id = _conversation.validate_python(found[1] if found else "")
        except (ValueError, ValidationError):
            raise none from None
        if found is None or parse_secret("csl", found[2]) is None:
            raise none
        return cls(base, conversation_id, found[2])

    @staticmethod
    def format(base: str, conversation_id: str, secret: str) -> str:
        """Return the URL to share."""
        return f"{origin_of(base)}/#/c/{conversation_id}/{secret}"


#: Returns the API with a credential that is valid now.
ApiSource: TypeAlias = Callable[[], Awaitable[Api]]


@dataclass(frozen=True, slots=True)
class Account:
    """Whoever uses this machine, at any site: an API key, or who is signed in."""

    sign_ins: SignIns
    key: str | None = None

    async def api(self, base: str) -> Api | None:
        """Return the API of a site, with our credential; None where the site is open.

        Raises:
            NotSignedIn: the site has accounts, and nobody is signed in there.
            NoConnection: site or issuer do not answer.
        """
        access = await find_access(base)
        if not isinstance(access, AccountAccess):
            return None
        return await self.api_with(access, base)

    async def api_with(self, access: AccountAccess, base: str) -> Api:
        """Return the API of a site with these accounts; otherwise as `api`."""
        if self.key:
            return Api(base, self.key)
        site = str(origin_of(base))
        known = await asyncio.to_thread(self.sign_ins.find, site)
        if known is not None and not known.is_fresh:
            # An interruption would lose the rotated token between the issuer's answer and the disk.
            renewal = asyncio.ensure_future(self._renew(access, site))
            try:
                known = await asyncio.shield(renewal)
            except asyncio.CancelledError:
                await asyncio.wait({renewal})
                raise
        if known is None:
            raise NotSignedIn(SIGN_IN_FIRST)
        return Api(base, known.access_token)

    async def _renew(self, access: AccountAccess, site: str) -> SignIn | None:
        async with self.sign_ins.alone():
            # Another process may have renewed it meanwhile.
            known = await asyncio.to_thread(self.sign_ins.find, site)
            if known is None or known.is_fresh:
                return known
            if known.refresh_token is None:
                raise NotSignedIn(f"The sign-in is over. {SIGN_IN_FIRST}")
            if known.token_endpoint not in {None, access.token_endpoint}:
                raise NotSignedIn(f"The site has another issuer now. {SIGN_IN_FIRST}")
            try:
                tokens = await refresh(access, known.refresh_token)
            except NotSignedIn:
                await asyncio.to_thread(self.sign_ins.keep, site, None)
                raise NotSignedIn(f"The sign-in is over. {SIGN_IN_FIRST}") from None
            renewed = SignIn.of(tokens, access.token_endpoint, known)
            await asyncio.to_thread(self.sign_ins.keep, site, renewed)
            return renewed


class Tickets:
    """Gets the tickets for one kind of socket of a conversation.

    Args:
        find_api: returns the API; asked for each new ticket, because a token lasts less long than
            many a socket.
        conversation_id: the conversation.
        action: to read or to speak.
    """

    def __init__(
        self, find_api: ApiSource, conversation_id: str, action: Literal["read", "speak"]
    ) -> None:
        self._find_api = find_api
        self._wanted = NewTicket(conversation_id=conversation_id, action=action)
        self._kept: tuple[str, float] | None = None

    async def get(self, refused: str | None = None) -> str:
        """Return a ticket for the next connection, and never the `refused` one.

        A ticket to read is used again while it lasts, so reconnecting asks for no new one.

        Raises:
            Refused: there is no right.
            NotSignedIn: nobody is signed in (any more).
            NoConnection: API or issuer do not answer.
        """
        if self._kept is not None:
            ticket, ends_at = self._kept
            if ticket != refused and time.monotonic() < ends_at:
                return ticket
            self._kept = None
        api = await self._find_api()
        issued = await api.ask("POST", "/tickets", IssuedTicket, self._wanted)
        if self._wanted.action == "read":
            self._kept = issued.ticket, time.monotonic() + issued.seconds_left - _MARGIN
        return issued.ticket
