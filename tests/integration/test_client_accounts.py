"""The client's accounts against a fake issuer, API and service on loopback."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from access.messages import AccountAccess
from client.accounts.credentials import Account, Tickets
from client.accounts.sign_in import revoke, sign_in
from client.accounts.sign_ins import SignIn, SignIns
from client.accounts.site import Api, find_access
from client.errors import ConnectionLost, ExitCode, NoConnection, NotSignedIn, Refused, UsageError
from client.live.connection import Viewer
from client.live.endpoints import connect_parameters
from tests.support.accounts_site import CONVERSATION, Site, serve_site

pytestmark = pytest.mark.integration

PARAMETERS = connect_parameters(CONVERSATION)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serve_site() as site:
        yield site


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(SignIns(tmp_path / "sign-ins.json"))


async def accounts_of(site: Site) -> AccountAccess:
    access = await find_access(site.url)
    assert isinstance(access, AccountAccess)
    return access


async def sign_in_at(site: Site, account: Account) -> None:
    """Sign in, with a browser that follows the redirects."""
    browsers = []

    async def browse(address: str) -> None:
        async with aiohttp.ClientSession() as browser, browser.get(address) as answer:
            assert answer.status == 200
            assert "code" not in await answer.text()

    access = await accounts_of(site)
    tokens = await sign_in(access, lambda it: browsers.append(asyncio.ensure_future(browse(it))))
    await asyncio.gather(*browsers)
    account.sign_ins.keep(site.url, SignIn.of(tokens, access.token_endpoint))


async def test_a_person_signs_in_with_pkce_and_signs_out(site: Site, account: Account) -> None:
    await sign_in_at(site, account)

    api = await account.api(site.url)
    assert api is not None
    assert api.credential in site.access_tokens
    kept = account.sign_ins.find(site.url)
    assert kept is not None
    assert kept.refresh_token is not None
    assert await revoke(await accounts_of(site), kept.refresh_token)
    assert site.revoked == [kept.refresh_token]


@pytest.mark.parametrize("nonce", ["", "of another sign-in"])
async def test_the_answer_to_another_sign_in_is_refused(
    site: Site, account: Account, nonce: str
) -> None:
    site.nonce = nonce

    with pytest.raises(NotSignedIn, match="another sign-in"):
        await sign_in_at(site, account)
    assert account.sign_ins.find(site.url) is None


@pytest.mark.parametrize("address", ["http://issuer.test/a", "file:///etc/passwd", "http://["])
async def test_no_browser_opens_an_address_that_is_not_of_https(site: Site, address: str) -> None:
    access = (await accounts_of(site)).model_copy(update={"authorization_endpoint": address})

    with pytest.raises(UsageError):
        await sign_in(access, lambda _: pytest.fail("it was opened"))


async def test_many_at_once_renew_a_token_once(site: Site, account: Account) -> None:
    site.lifetime = 1.0
    await sign_in_at(site, account)
    site.lifetime = 3_600.0

    found = await asyncio.gather(*(account.api(site.url) for _ in range(5)))

    assert len(site.used) == 1
    assert len(set(found)) == 1
    kept = account.sign_ins.find(site.url)
    assert kept is not None
    assert kept.refresh_token in site.refresh_tokens


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_outage_of_the_issuer_signs_nobody_out(
    site: Site, account: Account, status: int
) -> None:
    site.lifetime = 1.0
    await sign_in_at(site, account)
    site.outage = status

    with pytest.raises(NoConnection, match=str(status)):
        await account.api(site.url)
    site.outage = None
    assert await account.api(site.url) is not None


async def test_a_refresh_token_that_is_over_is_forgotten(site: Site, account: Account) -> None:
    site.lifetime = 1.0
    await sign_in_at(site, account)
    site.refresh_tokens.clear()

    with pytest.raises(NotSignedIn, match="client login") as error:
        await account.api(site.url)
    assert account.sign_ins.find(site.url) is None
    assert not any(secret in str(error.value) for secret in site.secrets)


async def test_an_interruption_does_not_lose_a_rotated_token(site: Site, account: Account) -> None:
    site.lifetime = 1.0
    await sign_in_at(site, account)
    site.lifetime = 3_600.0

    asking = asyncio.ensure_future(account.api(site.url))
    async with asyncio.timeout(5):
        await site.is_refreshing.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    kept = account.sign_ins.find(site.url)
    assert kept is not None
    assert kept.refresh_token in site.refresh_tokens


async def test_a_refresh_token_goes_to_the_issuer_that_gave_it_alone(
    site: Site, account: Account
) -> None:
    over = SignIn(
        access_token="a",
        expires_at=time.time(),
        refresh_token="r",
        token_endpoint="https://before.test/token",
    )
    account.sign_ins.keep(site.url, over)

    with pytest.raises(NotSignedIn, match="another issuer"):
        await account.api(site.url)
    assert site.used == []


# --- tickets ---------------------------------------------------------------------------------


def reader(site: Site) -> Tickets:
    async def find_api() -> Api:
        return Api(site.url, "csl_guest")

    return Tickets(find_api, CONVERSATION, "read")


async def test_a_ticket_that_is_refused_is_replaced_once(site: Site) -> None:
    tickets = reader(site)
    first = await tickets.get()
    site.valid.clear()  # as after a change of keys

    async with Viewer(site.url, PARAMETERS, tickets.get) as viewer:
        with pytest.raises(ConnectionLost):
            async for _ in viewer:
                pass

    assert site.tickets == [first, await tickets.get()]


async def test_a_new_ticket_that_is_refused_too_ends_with_the_reason(site: Site) -> None:
    tickets = reader(site)

    async def take_back(refused: str | None = None) -> str:
        ticket = await tickets.get(refused)
        site.valid.clear()
        return ticket

    with pytest.raises(Refused, match="clock") as error:
        async with Viewer(site.url, PARAMETERS, take_back):
            pass

    assert error.value.code == "ticket_expired"
    assert not error.value.retryable
    assert len(site.tickets) == 2
    assert not any(secret in repr(error.value) for secret in site.secrets)


async def test_a_right_that_does_not_extend_to_it_is_named(site: Site) -> None:
    site.handshake = 403

    with pytest.raises(Refused) as error:
        async with Viewer(site.url, PARAMETERS, reader(site).get):
            pass

    assert error.value.code == "ticket_mismatch"
    assert len(site.tickets) == 1


async def test_without_a_ticket_one_learns_to_sign_in(site: Site) -> None:
    with pytest.raises(NotSignedIn, match="client login"):
        async with Viewer(site.url, PARAMETERS):
            pass


# --- commands --------------------------------------------------------------------------------

KEY = "csk_aaaaaaaaaaaaaaaaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbb"


async def run(site: Site, home: Path, *arguments: str) -> tuple[int, str]:
    """Run a command with an API key; return its exit code, and all that it printed."""
    known = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "client", *arguments),
        cwd=Path(__file__).parents[2],
        env=known | {"HOME": str(home), "CLOUDSCRIBE_URL": site.url, "CLOUDSCRIBE_API_KEY": KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()


@pytest.mark.parametrize(
    ("arguments", "request_", "line"),
    [
        (
            ("conversations", "rename", CONVERSATION, "New"),
            ("PATCH", "/conversations/standup", {"title": "New", "version": 7}),
            "standup  Stand-up",
        ),
        (
            ("conversations", "roles", CONVERSATION),
            ("GET", "/conversations/standup", None),
            "sam  reader",
        ),
        (
            ("conversations", "roles", CONVERSATION, "sam", "--role", "reader"),
            ("PUT", "/conversations/standup/people/sam", {"role": "reader"}),
            "sam  reader",
        ),
        (
            ("conversations", "roles", CONVERSATION, "sam", "--remove"),
            ("DELETE", "/conversations/standup/people/sam", None),
            "sam  reader",
        ),
        (("people", "list"), ("GET", "/people", None), "ada  ada@example.com"),
        (
            ("people", "invite", "eve@example.com"),
            ("POST", "/people", {"email": "eve@example.com", "isAdministrator": False}),
            "ada  ada@example.com",
        ),
        (
            ("people", "block", "ada@example.com"),
            ("PATCH", "/people/user-1", {"isBlocked": True}),
            "ada  ada@example.com",
        ),
        (
            ("people", "unblock", "ada"),
            ("PATCH", "/people/user-1", {"isBlocked": False}),
            "ada  ada@example.com",
        ),
    ],
)
async def test_a_command_sends_its_request_and_prints_no_key(
    site: Site, tmp_path: Path, arguments: tuple[str, ...], request_: object, line: str
) -> None:
    code, printed = await run(site, tmp_path, *arguments)

    assert (code, printed.strip()) == (ExitCode.OK, line)
    assert site.asked[-1] == request_
    assert KEY not in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("conversations", "rename", "../../keys", "New"),
        ("conversations", "roles", CONVERSATION, "sam"),
        ("conversations", "roles", CONVERSATION, "--remove"),
        ("conversations", "roles", CONVERSATION, "../x", "--remove"),
        ("share", "revoke", CONVERSATION, "../../../keys"),
        ("keys", "revoke", KEY),
        ("people", "block", "nobody@example.com"),
        ("watch", "other", "--link", f"https://a.test/#/c/{CONVERSATION}/{KEY.replace('k', 'l')}"),
    ],
)
async def test_what_cannot_be_meant_changes_nothing(
    site: Site, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    code, printed = await run(site, tmp_path, *arguments)

    assert code == ExitCode.USAGE, printed
    assert all(method == "GET" for method, _, _ in site.asked)
    assert KEY.rpartition("_")[2] not in printed
