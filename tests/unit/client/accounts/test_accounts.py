from __future__ import annotations

import asyncio
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.messages import AccountAccess, IssuedTicket, Me, OpenAccess
from access.records import Role
from access.secret import make_id, make_secret
from client.accounts import credentials, sign_in, site
from client.accounts.credentials import Account, ShareLink, Tickets
from client.accounts.sign_in import Tokens
from client.accounts.sign_ins import SignIn, SignIns
from client.accounts.site import Api
from client.errors import FileFailed, NotSignedIn, UsageError
from tests.support.access import NOW

pytestmark = pytest.mark.unit

SITE = "https://captions.test"
ACCESS = AccountAccess(
    issuer="https://issuer.test",
    page_client_id="page",
    program_client_id="program",
    authorization_endpoint="https://issuer.test/authorize",
    token_endpoint="https://issuer.test/token",
)


@pytest.fixture
def sign_ins(tmp_path: Path) -> SignIns:
    return SignIns(tmp_path / "folder" / "sign-ins.json")


@pytest.fixture(autouse=True)
def _site(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find_access(base: str) -> AccountAccess | OpenAccess:
        return ACCESS if base == SITE else OpenAccess()

    monkeypatch.setattr(credentials, "find_access", find_access)


def signed_in(*, seconds: float, refresh_token: str | None = "old") -> SignIn:
    return SignIn(
        access_token="first", expires_at=time.time() + seconds, refresh_token=refresh_token
    )


# --- share links ---------------------------------------------------------------------------


def test_a_share_link_reads_back() -> None:
    secret, conversation = str(make_secret("csl")), make_id()
    url = ShareLink.format("wss://captions.test/page", conversation, secret)

    assert url == f"https://captions.test/#/c/{conversation}/{secret}"
    assert ShareLink.parse(url) == ShareLink(SITE, conversation, secret)


@given(text=st.text() | st.text("/#c:sl_.ab"))
def test_what_is_no_share_link_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(UsageError) as error:
        ShareLink.parse(text)

    assert str(error.value) == "--link: this is not a share link, which has #/c/ and csl_"


# --- the file --------------------------------------------------------------------------------


def test_a_sign_in_is_kept_for_its_owner_alone(sign_ins: SignIns) -> None:
    kept = signed_in(seconds=600)
    sign_ins.keep(SITE, kept)
    sign_ins.keep("https://other.test", kept)
    sign_ins.keep("https://other.test", None)

    assert sign_ins.find(SITE) == kept
    assert sign_ins.find("https://other.test") is None
    assert stat.S_IMODE(sign_ins.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(sign_ins.file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("mode", "text"), [(0o644, "{}"), (0o600, "{"), (0o600, '{"a": 1}')])
def test_a_file_that_others_read_or_that_was_spoiled_is_named(
    sign_ins: SignIns, mode: int, text: str
) -> None:
    sign_ins.file.parent.mkdir()
    sign_ins.file.write_text(text)
    sign_ins.file.chmod(mode)

    with pytest.raises(FileFailed, match=r"sign-ins\.json"):
        sign_ins.find(SITE)


# --- who -------------------------------------------------------------------------------------


async def test_an_open_site_needs_no_credential(sign_ins: SignIns) -> None:
    assert await Account(sign_ins).api("https://open.test") is None


async def test_where_nobody_is_signed_in_one_learns_what_to_do(sign_ins: SignIns) -> None:
    with pytest.raises(NotSignedIn, match="client login"):
        await Account(sign_ins).api(SITE)


async def test_an_api_key_comes_before_a_sign_in(sign_ins: SignIns) -> None:
    sign_ins.keep(SITE, signed_in(seconds=600))

    assert await Account(sign_ins, key="csk_key").api(SITE) == Api(SITE, "csk_key")
    assert await Account(sign_ins).api(SITE) == Api(SITE, "first")


async def test_a_token_is_renewed_once_and_the_new_refresh_token_kept(
    sign_ins: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    async def refresh(_: AccountAccess, token: str) -> Tokens:
        used.append(token)
        return Tokens(access_token="second", expires_in=600, refresh_token="new")

    monkeypatch.setattr(credentials, "refresh", refresh)
    sign_ins.keep(SITE, signed_in(seconds=10))

    found = [await Account(sign_ins).api(SITE) for _ in range(2)]

    assert found == [Api(SITE, "second")] * 2
    assert used == ["old"]
    kept = sign_ins.find(SITE)
    assert kept is not None
    assert kept.refresh_token == "new"


async def test_a_sign_in_that_is_over_is_forgotten(
    sign_ins: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refresh(_: AccountAccess, token: str) -> Tokens:
        raise NotSignedIn(f"not {len(token)}")

    monkeypatch.setattr(credentials, "refresh", refresh)
    sign_ins.keep(SITE, signed_in(seconds=10))

    with pytest.raises(NotSignedIn, match="client login"):
        await Account(sign_ins).api(SITE)
    assert sign_ins.find(SITE) is None


def test_tokens_are_not_printed() -> None:
    shown = f"{signed_in(seconds=1)!r} {Tokens(access_token='first', refresh_token='old')!r}"

    assert "first" not in shown
    assert "old" not in shown


@pytest.mark.parametrize("base", ["http://captions.test", "ws://192.0.2.1:8080"])
async def test_a_credential_is_sent_by_https_alone(base: str) -> None:
    with pytest.raises(UsageError, match="https"):
        await Api(base, "csl_secret").ask("GET", "/me", Me)


async def test_a_site_with_accounts_is_asked_by_https_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(*_: object, **__: object) -> tuple[int, bytes]:
        return 200, ACCESS.model_dump_json(by_alias=True).encode()

    monkeypatch.setattr(site, "send", answer)

    assert await site.find_access(SITE) == ACCESS
    assert await site.find_access("http://127.0.0.1:8080") == ACCESS
    with pytest.raises(UsageError, match="https"):
        await site.find_access("http://captions.test")


# --- tickets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "asked"), [("read", 1), ("speak", 3)])
async def test_a_ticket_to_read_is_used_again_and_one_to_speak_is_not(
    monkeypatch: pytest.MonkeyPatch, action: Any, asked: int
) -> None:
    requests = []

    async def ask(_: Api, *request: Any) -> IssuedTicket:
        requests.append(request)
        return IssuedTicket(
            ticket=f"t{len(requests)}",
            conversation_id="c",
            title="x",
            role=Role.OWNER,
            action=action,
            expires_at=NOW,
            seconds_left=600,
        )

    monkeypatch.setattr(Api, "ask", ask)
    tickets = Tickets(find_api, "c", action)

    got = [await tickets.get() for _ in range(3)]

    assert len(requests) == asked
    assert len(set(got)) == asked


async def find_api() -> Api:
    return Api(SITE, "token")


# --- coming back from the browser ----------------------------------------------------------------


async def test_only_the_browser_that_we_sent_ends_the_sign_in() -> None:
    attempt = sign_in._Attempt()

    assert not attempt.come_back({"code": "stolen"})
    assert not attempt.come_back({"code": "stolen", "state": "guessed"})
    assert not attempt.come_back({"error": "denied", "state": "guessed"})
    assert not attempt.code.done()
    assert attempt.come_back({"code": "ours", "state": attempt.state})
    assert not attempt.come_back({"code": "again", "state": attempt.state})
    assert await attempt.code == "ours"


async def test_a_refused_sign_in_ends_with_words() -> None:
    attempt = sign_in._Attempt()

    attempt.come_back({"error": "access_denied", "state": attempt.state})

    with pytest.raises(NotSignedIn, match="refused"):
        await asyncio.wait_for(attempt.code, 1)
