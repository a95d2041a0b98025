"""The commands of accounts: sign in, conversations, share links, API keys, people.

Secrets are printed once, where that is what the command is for, and nowhere else.
"""

from __future__ import annotations

import json
import os
import webbrowser
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from access.messages import (
    KEY_DAYS,
    LINK_DAYS,
    AccountAccess,
    ChangedConversation,
    ChangedPerson,
    Conversation,
    ConversationPage,
    Invitation,
    KeyList,
    KeyWithSecret,
    Link,
    LinkWithSecret,
    Me,
    NewConversation,
    NewKey,
    NewLink,
    NewRole,
    OpenAccess,
    PeoplePage,
    PersonView,
)
from access.records import Scope, Subject
from access.secret import is_id
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
from transcripts.models import ConversationId, Model

Url = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="URL of the site.")]
Json = Annotated[bool, typer.Option("--json", help="Print the API's answer.")]
ConversationName = Annotated[str, typer.Argument(help="The conversation's id.")]
Label = Annotated[str, typer.Option(help="What people call it.")]

_M = TypeVar("_M", bound=Model)

_conversation_id: TypeAdapter[str] = TypeAdapter(ConversationId)
_subject: TypeAdapter[str] = TypeAdapter(Subject)

conversations = typer.Typer(
    help="Create, list and rename conversations, and give roles in them.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
share = typer.Typer(
    help="Make, list and revoke share links of a conversation.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
keys = typer.Typer(
    help="Make, list and revoke API keys, which programs use in place of a sign-in.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
people = typer.Typer(
    help="Invite, list, block and unblock people; for administrators.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)


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
        _print(as_json, OpenAccess(), [f"{origin_of(url)} is open: everybody may do everything."])
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


@conversations.command("rename", epilog=EXIT_CODES)
@asyncio_command
async def rename(
    conversation: ConversationName,
    title: Annotated[str, typer.Argument(help="Its new title.")],
    *,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> ExitCode:
    """Rename a conversation of yours."""
    path, api = _conversation_path(conversation), await _api(url)
    before = await api.ask("GET", path, Conversation)
    wanted = _make(ChangedConversation, title=title, version=before.version)
    after = await api.ask("PATCH", path, Conversation, wanted)
    _print(as_json, after, [f"{after.conversation_id}  {after.title}"])
    return ExitCode.OK


@conversations.command("roles", epilog=EXIT_CODES)
@asyncio_command
async def roles(
    conversation: ConversationName,
    person: Annotated[
        str | None, typer.Argument(help="A person's id, as their `whoami` prints it.")
    ] = None,
    *,
    role: Annotated[
        str | None, typer.Option(help="The role to give the person: speaker or reader.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the person's role away.")] = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> ExitCode:
    """List the people of a conversation of yours, or give one a role, or take it away."""
    if (person is not None) != ((role is not None) != remove):
        raise UsageError("give a person and --role, or a person and --remove, or neither")
    path = _conversation_path(conversation)
    if person is None:
        found = await (await _api(url)).ask("GET", path, Conversation)
    else:
        at = f"{path}/people/{_check(_subject, person, 'PERSON')}"
        wanted = None if role is None else _make(NewRole, role=role)
        method = "DELETE" if remove else "PUT"
        found = await (await _api(url)).ask(method, at, Conversation, wanted)
    lines = [f"{subject}  {given}" for subject, given in (found.people or {}).items()]
    _print(as_json, found, lines)
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
    path = _conversation_path(conversation)
    wanted = _make(NewLink, role=role, days=days, label=label, languages=language)
    api = await _api(url)
    made = await api.ask("POST", f"{path}/links", LinkWithSecret, wanted)
    shared = ShareLink.format(url, conversation, made.secret)
    _print(as_json, made, [shared], url=shared)
    return ExitCode.OK


@share.command("list", epilog=EXIT_CODES)
@asyncio_command
async def list_links(
    conversation: ConversationName, *, url: Url = DEFAULT_URL, as_json: Json = False
) -> ExitCode:
    """List the share links of a conversation of yours."""
    path = _conversation_path(conversation)
    found = await (await _api(url)).ask("GET", path, Conversation)
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
    path = f"{_conversation_path(conversation)}/links/{_check_id(link, 'LINK')}"
    await (await _api(url)).order("DELETE", path)
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
    path = f"/keys/{_check_id(key, 'KEY')}"
    await (await _api(url)).order("DELETE", path)
    return ExitCode.OK


@people.command("list", epilog=EXIT_CODES)
@asyncio_command
async def list_people(*, url: Url = DEFAULT_URL, as_json: Json = False) -> ExitCode:
    """List the people of the site."""
    async for page in _pages_of_people(await _api(url)):
        _print(as_json, page, map(_describe_person, page.people))
    return ExitCode.OK


@people.command("invite", epilog=EXIT_CODES)
@asyncio_command
async def invite(
    email: Annotated[str, typer.Argument(help="Where the first password is sent.")],
    *,
    administrator: Annotated[
        bool, typer.Option("--administrator", help="Let the person manage people, too.")
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> ExitCode:
    """Invite a person, who gets an e-mail with a first password."""
    wanted = _make(Invitation, email=email, is_administrator=administrator)
    invited = await (await _api(url)).ask("POST", "/people", PersonView, wanted)
    _print(as_json, invited, [_describe_person(invited)])
    return ExitCode.OK


UserName = Annotated[
    str, typer.Argument(metavar="PERSON", help="An e-mail address or id, as `people list` has it.")
]


@people.command("block", epilog=EXIT_CODES)
@asyncio_command
async def block(user: UserName, *, url: Url = DEFAULT_URL, as_json: Json = False) -> ExitCode:
    """Block a person everywhere; open streams end within a minute."""
    return await _set_blocked(url, user, is_blocked=True, as_json=as_json)


@people.command("unblock", epilog=EXIT_CODES)
@asyncio_command
async def unblock(user: UserName, *, url: Url = DEFAULT_URL, as_json: Json = False) -> ExitCode:
    """Let a blocked person in again."""
    return await _set_blocked(url, user, is_blocked=False, as_json=as_json)


async def _set_blocked(url: str, user: str, *, is_blocked: bool, as_json: bool) -> ExitCode:
    api = await _api(url)
    async for page in _pages_of_people(api):
        for each in page.people:
            if user in {each.subject, each.user, each.email}:
                wanted = ChangedPerson(is_blocked=is_blocked)
                changed = await api.ask("PATCH", f"/people/{each.user}", PersonView, wanted)
                _print(as_json, changed, [_describe_person(changed)])
                return ExitCode.OK
    raise UsageError("PERSON: nobody here has this e-mail address or id; see `people list`")


async def _pages_of_people(api: Api) -> AsyncIterator[PeoplePage]:
    cursor: str | None = ""
    while cursor is not None:
        query = {"cursor": cursor} if cursor else {}
        page = await api.ask("GET", "/people", PeoplePage, query=query)
        yield page
        cursor = page.cursor or None


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


def _check(adapter: TypeAdapter[str], text: str, argument: str) -> str:
    """Return a part of a path.

    Raises:
        UsageError: it is not of its kind.
    """
    try:
        return adapter.validate_python(text)
    except ValidationError as error:
        raise UsageError(f"{argument}: {explain(error)}") from None


def _check_id(text: str, argument: str) -> str:
    """Return the id of a link or a key.

    Raises:
        UsageError: it is none. It is not quoted, because it may be a whole secret.
    """
    if not is_id(text):
        raise UsageError(f"{argument}: an id has 26 letters and digits; see the command `list`")
    return text


def _conversation_path(conversation: str) -> str:
    return f"/conversations/{_check(_conversation_id, conversation, 'CONVERSATION')}"


def _describe_person(person: PersonView) -> str:
    marks = [
        "administrator" if person.is_administrator else "",
        "" if person.has_joined else "invited",
        "blocked" if person.is_blocked else "",
    ]
    return "  ".join([person.subject, person.email or person.user, *filter(None, marks)])


def _describe(me: Me) -> str:
    what = ", administrator" if me.is_administrator else ""
    return f"{me.subject}{what}" + (f", by the API key {me.key}" if me.key else "")


def _describe_link(link: Link) -> str:
    languages = f"  {','.join(link.languages)}" if link.languages else ""
    return (
        f"{link.link_id}  until {link.expires_at:%Y-%m-%d}  {link.role:7}  {link.label}{languages}"
    )


def _print(as_json: bool, answer: Model, lines: Iterable[str], **more: str) -> None:  # noqa: FBT001 - the one switch of printing
    """Print an answer as lines, or as JSON with `more` fields."""
    printer = Printer(as_json=as_json)
    if as_json:
        document = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
        printer.print_json(json.dumps(document | more, ensure_ascii=False))
    else:
        for line in lines:
            printer.print_result(line)
