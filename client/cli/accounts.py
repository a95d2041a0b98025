"""The commands of accounts: sign in, conversations, share links, API keys.

Secrets are printed once, where that is what the command is for, and nowhere else.
"""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer
from pydantic import ValidationError

from access.messages import (
    KEY_DAYS,
    LINK_DAYS,
    AccountAccess,
    Conversation,
    ConversationPage,
    KeyList,
    KeyWithSecret,
    Link,
    LinkWithSecret,
    Me,
    NewConversation,
    NewKey,
    NewLink,
)
from access.records import Scope
from client.accounts.credentials import KEY_VARIABLE, Account, ShareLink, Tickets
from client.accounts.keychain import open_keychain
from client.accounts.sign_in import revoke, sign_in
from client.accounts.sign_ins import SignIn, SignIns
from client.accounts.site import Api, find_access, origin_of
from client.cli.printing import Printer
from client.cli.running import EXIT_CODES, asyncio_command
from client.errors import ExitCode, NoConnection, UsageError
from client.live.connection import TicketSource, no_ticket
from client.live.endpoints import DEFAULT_URL, URL_VARIABLE
from foundation.invalid import explain
from transcripts.models import Model

Url = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="URL of the site.")]
Json = Annotated[bool, typer.Option("--json", help="Print the API's answer.")]
ConversationName = Annotated[str, typer.Argument(help="The conversation's id.")]
Label = Annotated[str, typer.Option(help="What people call it.")]

_M = TypeVar("_M", bound=Model)

conversations = typer.Typer(help="Create and list conversations, where a site has accounts.")
share = typer.Typer(help="Make, list and revoke share links of a conversation.")
keys = typer.Typer(help="Make, list and revoke API keys, which programs use in place of a sign-in.")


def account() -> Account:
    """Return whoever uses this machine: the API key in the environment, or who is signed in."""
    key = os.environ.get(KEY_VARIABLE) or None
    folder = Path(typer.get_app_dir("cloudscribe"))
    # With a key the keyring is not asked, which may have to be unlocked.
    keychain = None if key else open_keychain()
    return Account(SignIns(folder / "sign-ins.json", keychain), key)


async def find_tickets(
    base: str,
    conversation_id: str | None,
    action: Literal["read", "speak"],
    link: ShareLink | None,
    title: str,
) -> tuple[str | None, TicketSource]:
    """Return the conversation, and the source of tickets for it.

    Where the site has accounts and no conversation is given, one is created.

    Raises:
        ClientError: see `client.errors`.
    """
    if link is not None:
        guest = Api(link.base, link.secret)

        async def find_guest() -> Api:
            return guest

        return link.conversation_id, Tickets(find_guest, link.conversation_id, action).get
    try:
        access = await find_access(base)
    except NoConnection:
        return conversation_id, no_ticket  # the socket says what is wrong
    if not isinstance(access, AccountAccess):
        return conversation_id, no_ticket
    find_api = partial(account().api_with, access, base)
    if conversation_id is None:
        created = await (await find_api()).ask(
            "POST", "/conversations", Conversation, NewConversation(title=title[:200] or "Stream")
        )
        conversation_id = created.conversation_id
    return conversation_id, Tickets(find_api, conversation_id, action).get


async def login(
    *,
    url: Url = DEFAULT_URL,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, and open no browser.")
    ] = False,
) -> ExitCode:
    """Sign in at a site with a browser on this machine."""
    printer = Printer()
    access = await _accounts_of(url)

    def show(address: str) -> None:
        printer.print_note("Sign in with a browser on this machine:")
        printer.print_note(address)
        if not no_browser:
            with suppress(webbrowser.Error):
                webbrowser.open(address)

    tokens = await sign_in(access, show)
    sign_ins = account().sign_ins
    async with sign_ins.alone():
        sign_ins.keep(str(origin_of(url)), SignIn.of(tokens, access.token_endpoint))
    me = await Api(url, tokens.access_token).ask("GET", "/me", Me)
    printer.print_result(f"Signed in at {origin_of(url)} as {_describe(me)}.")
    return ExitCode.OK


async def logout(*, url: Url = DEFAULT_URL) -> ExitCode:
    """Sign out: forget the sign-in here, and end it at the issuer where that can be done."""
    sign_ins, site = account().sign_ins, str(origin_of(url))
    async with sign_ins.alone():
        known = sign_ins.find(site)
        sign_ins.keep(site, None)
    if known is None:
        Printer().print_result(f"Nobody was signed in at {site}.")
        return ExitCode.OK
    printer = Printer()
    printer.print_result(f"Signed out at {site}.")
    if known.refresh_token is not None and not await _revoke(url, known, known.refresh_token):
        printer.print_note("It could not be ended at the issuer, where it ends by itself.")
    return ExitCode.OK


async def _revoke(url: str, known: SignIn, token: str) -> bool:
    try:
        access = await find_access(url)
    except NoConnection:
        return False
    is_issuers = isinstance(access, AccountAccess) and known.token_endpoint in {
        None,
        access.token_endpoint,
    }
    return isinstance(access, AccountAccess) and is_issuers and await revoke(access, token)


async def whoami(*, url: Url = DEFAULT_URL, as_json: Json = False) -> ExitCode:
    """Print who is signed in at a site, or whose API key is used."""
    api = await account().api(url)
    if api is None:
        Printer().print_result(f"{origin_of(url)} is open: everybody may do everything.")
        return ExitCode.OK
    me = await api.ask("GET", "/me", Me)
    _print(as_json, me, [_describe(me)])
    return ExitCode.OK


@conversations.command("create", epilog=EXIT_CODES)
@asyncio_command
async def create(
    title: Annotated[str, typer.Argument(help="Its title.")],
    *,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> ExitCode:
    """Create a conversation and print its id."""
    api = await _api(url)
    made = await api.ask(
        "POST", "/conversations", Conversation, _make(NewConversation, title=title)
    )
    _print(as_json, made, [made.conversation_id])
    return ExitCode.OK


@conversations.command("list", epilog=EXIT_CODES)
@asyncio_command
async def list_conversations(*, url: Url = DEFAULT_URL, as_json: Json = False) -> ExitCode:
    """List the conversations in which you have a role, newest first."""
    api, cursor = await _api(url), ""
    while True:
        query = {"cursor": cursor} if cursor else {}
        page = await api.ask("GET", "/conversations", ConversationPage, query=query)
        _print(
            as_json,
            page,
            [
                f"{one.conversation_id}  {one.created_at:%Y-%m-%d %H:%M}  {one.role:7}  {one.title}"
                for one in page.conversations
            ],
        )
        cursor = page.cursor or ""
        if not cursor:
            return ExitCode.OK


@share.command("make", epilog=EXIT_CODES)
@asyncio_command
async def make_link(
    conversation: ConversationName,
    *,
    role: Annotated[str, typer.Option(help="What guests may do: reader or speaker.")] = "reader",
    days: Annotated[int, typer.Option(help="How long it lasts, days.")] = LINK_DAYS,
    label: Label = "Link",
    language: Annotated[
        list[str] | None,
        typer.Option(help="A language that guests may read; may be repeated. Default: all."),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> ExitCode:
    """Make a share link and print its URL, this once."""
    wanted = _make(NewLink, role=role, days=days, label=label, languages=language)
    api = await _api(url)
    made = await api.ask("POST", f"/conversations/{conversation}/links", LinkWithSecret, wanted)
    _print(as_json, made, [ShareLink.format(url, conversation, made.secret)])
    return ExitCode.OK


@share.command("list", epilog=EXIT_CODES)
@asyncio_command
async def list_links(
    conversation: ConversationName, *, url: Url = DEFAULT_URL, as_json: Json = False
) -> ExitCode:
    """List the share links of a conversation of yours."""
    api = await _api(url)
    found = await api.ask("GET", f"/conversations/{conversation}", Conversation)
    _print(as_json, found, map(_describe_link, found.links or ()))
    return ExitCode.OK


@share.command("revoke", epilog=EXIT_CODES)
@asyncio_command
async def revoke_link(
    conversation: ConversationName,
    link: Annotated[str, typer.Argument(help="The link's id, as `share list` prints it.")],
    *,
    url: Url = DEFAULT_URL,
) -> ExitCode:
    """Revoke a share link; whoever reads by it is disconnected within a minute."""
    api = await _api(url)
    await api.order("DELETE", f"/conversations/{conversation}/links/{link}")
    return ExitCode.OK


@keys.command("make", epilog=EXIT_CODES)
@asyncio_command
async def make_key(
    *,
    scope: Annotated[
        list[Scope], typer.Option(help="What it is for; may be repeated.", case_sensitive=False)
    ],
    days: Annotated[int, typer.Option(help="How long it lasts, days.")] = KEY_DAYS,
    label: Label = "Key",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> ExitCode:
    """Make an API key and print it, this once."""
    wanted = _make(NewKey, label=label, scopes=tuple(scope), days=days)
    made = await (await _api(url)).ask("POST", "/keys", KeyWithSecret, wanted)
    _print(as_json, made, [made.secret])
    return ExitCode.OK


@keys.command("list", epilog=EXIT_CODES)
@asyncio_command
async def list_keys(*, url: Url = DEFAULT_URL, as_json: Json = False) -> ExitCode:
    """List your API keys."""
    found = await (await _api(url)).ask("GET", "/keys", KeyList)
    _print(
        as_json,
        found,
        [
            f"{key.key_id}  until {key.expires_at:%Y-%m-%d}  {','.join(key.scopes):17}  {key.label}"
            for key in found.keys
        ],
    )
    return ExitCode.OK


@keys.command("revoke", epilog=EXIT_CODES)
@asyncio_command
async def revoke_key(
    key: Annotated[str, typer.Argument(help="The key's id, as `keys list` prints it.")],
    *,
    url: Url = DEFAULT_URL,
) -> ExitCode:
    """Revoke an API key."""
    await (await _api(url)).order("DELETE", f"/keys/{key}")
    return ExitCode.OK


async def _api(url: str) -> Api:
    api = await account().api(url)
    if api is None:
        raise UsageError(f"{origin_of(url)} is open: it has no accounts")
    return api


async def _accounts_of(url: str) -> AccountAccess:
    access = await find_access(url)
    if not isinstance(access, AccountAccess):
        raise UsageError(f"{origin_of(url)} is open: nobody signs in there")
    return access


def _make(kind: type[_M], **values: object) -> _M:
    """Return a request.

    Raises:
        UsageError: a value is out of its bounds.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def _describe(me: Me) -> str:
    what = ", administrator" if me.is_administrator else ""
    return f"{me.subject}{what}" + (f", by the API key {me.key}" if me.key else "")


def _describe_link(link: Link) -> str:
    languages = f"  {','.join(link.languages)}" if link.languages else ""
    return (
        f"{link.link_id}  until {link.expires_at:%Y-%m-%d}  {link.role:7}  {link.label}{languages}"
    )


def _print(as_json: bool, answer: Model, lines: Iterable[str]) -> None:  # noqa: FBT001 - the one switch of printing
    printer = Printer(as_json=as_json)
    if as_json:
        printer.print_json(answer.model_dump_json(by_alias=True, exclude_none=True))
    else:
        for line in lines:
            printer.print_result(line)
