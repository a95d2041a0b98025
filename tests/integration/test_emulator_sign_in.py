"""What accounts rely on in the emulator, and the edge before it: the sign-in, step by step."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import aiohttp
import jwt
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from yarl import URL

from access.callers import Person
from access.messages import PROGRAM_REDIRECTS
from access.records import ConversationRecord
from access.secret import make_id
from access.store import AccessTable, RecordChanged
from access.tokens import Issuer, IssuerKeys, TokenRefused, TokenVerifier
from local_cloud.accounts.api import FUNCTION, TABLE
from local_cloud.accounts.setup import TICKET_KEYS, Accounts, set_up
from local_cloud.edge import server
from local_cloud.emulator.environment import ACCOUNT
from local_cloud.emulator.process import Emulator
from local_cloud.launcher.demo import MAIL
from local_cloud.launcher.ports import take_port
from tests.support.sign_in import SignIn

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

HANDLER = """
import json, os

def handler(event, context):
    http = event["requestContext"]["http"]
    seen = {
        "path": event["rawPath"],
        "query": event.get("rawQueryString"),
        "method": http["method"],
        "headers": event["headers"],
        "body": event.get("body"),
        "table": os.environ["ACCESS_TABLE"],
        "keys": os.environ["JWKS_URL"],
    }
    return {
        "statusCode": 418,
        "headers": {"Content-Type": "application/problem+json"},
        "body": json.dumps(seen),
    }
"""


@dataclass
class AccountsCloud:
    """An emulator with accounts, and an edge before it."""

    emulator: Emulator
    accounts: Accounts
    url: str
    client: aiohttp.ClientSession

    @property
    def people(self) -> dict[str, str]:
        return {person.email: person.password for person in self.accounts.people}

    async def sign_in(self) -> SignIn:
        return await SignIn.at(self.url, self.client)

    def verify(self, token: str) -> Person:
        """Verify an access token with the pool's published keys, as the API does."""
        known = function_environment(self.emulator, self.accounts)
        issuer = Issuer(
            issuer=known["ISSUER"],
            audience=frozenset(known["AUDIENCES"].split(",")),
            is_cognito=True,
            groups_claim=known["GROUPS_CLAIM"],
            administrators=known["ADMINISTRATORS"],
        )

        def fetch() -> bytes:
            with urlopen(known["JWKS_URL"]) as answer:  # noqa: S310 - at the emulator
                found: bytes = answer.read()
                return found

        return TokenVerifier(issuer, IssuerKeys(fetch, time.monotonic)).verify(token)


def function_environment(emulator: Emulator, accounts: Accounts) -> dict[str, str]:
    configuration = emulator.client("lambda").get_function_configuration(FunctionName=FUNCTION)
    found: dict[str, str] = dict(configuration.get("Environment", {}).get("Variables", {}))
    assert found["ISSUER"] == accounts.edge.issuer
    return found


def pool_id(cloud: AccountsCloud) -> str:
    return cloud.accounts.edge.issuer.rpartition("/")[2]


def sources(folder: Path) -> Path:
    """Return the code of a function that answers with what it was asked."""
    package = folder / "function" / "lambdas" / "api"
    package.mkdir(parents=True, exist_ok=True)
    (package / "handler.py").write_text(HANDLER)
    return folder / "function"


@asynccontextmanager
async def accounts_cloud(folder: Path) -> AsyncIterator[AccountsCloud]:
    page = folder / "page"
    page.mkdir(exist_ok=True)
    (page / "index.html").write_text("<!doctype html>the page")
    async with Emulator(folder / "aws") as emulator:
        with take_port(0) as listener:
            port = listener.getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            accounts = await asyncio.to_thread(
                set_up,
                emulator,
                folder,
                [url, f"http://localhost:{port}"],
                "recordings",
                sources(folder),
            )
            # The service is away: nothing here is for it.
            app = server.application(
                dist=page, service="http://127.0.0.1:1", accounts=accounts.edge
            )
            runner = server.runner(app, shutdown_timeout=0.1)
            await runner.setup()
            bounded = await server.listen(runner, listener)
            try:
                async with aiohttp.ClientSession() as client:
                    yield AccountsCloud(emulator, accounts, url, client)
            finally:
                bounded.close()
                await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AccountsCloud]:
    async with accounts_cloud(tmp_path_factory.mktemp("accounts")) as started:
        yield started


# --- the sign-in ----------------------------------------------------------------------------


async def test_people_sign_in_and_their_tokens_name_them_and_the_administrators_group(
    cloud: AccountsCloud,
) -> None:
    people = {}
    for email, password in cloud.people.items():
        tokens = await (await cloud.sign_in()).tokens(email, password)
        assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
        people[email] = cloud.verify(tokens["access_token"])
        claims = jwt.decode(tokens["id_token"], options={"verify_signature": False})
        assert claims["email"] == email

    assert people["ada@example.com"].is_administrator
    assert not people["sam@example.com"].is_administrator
    assert people["ada@example.com"].subject != people["sam@example.com"].subject


async def test_no_id_token_passes_for_an_access_token(cloud: AccountsCloud) -> None:
    tokens = await (await cloud.sign_in()).tokens(*first(cloud))
    with pytest.raises(TokenRefused):
        cloud.verify(tokens["id_token"])


async def test_a_wrong_password_shows_the_form_again_and_says_the_same_of_a_stranger(
    cloud: AccountsCloud,
) -> None:
    email, password = first(cloud)
    sign_in = await cloud.sign_in()
    texts = []
    for who, what in ((email, "wrong"), ("nobody@example.com", password)):
        answer = await sign_in.submit(await sign_in.open_form(), who, what)
        assert answer.status == 200
        texts.append(answer.text)
    assert "Incorrect username or password" in texts[0]
    assert texts[0] == texts[1]


async def test_a_code_needs_its_verifier_and_is_used_once(cloud: AccountsCloud) -> None:
    sign_in = await cloud.sign_in()
    code = sign_in.code_of(await sign_in.submit(await sign_in.open_form(), *first(cloud)))

    assert (await sign_in.exchange(code, code_verifier="x" * 43)).status == 400
    assert (await sign_in.exchange(code, client_id="somebody-elses")).status == 400
    assert (await sign_in.exchange(code)).status == 200
    assert (await sign_in.exchange(code)).document == {
        "error": "invalid_grant",
        "error_description": "Invalid or expired authorization code.",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "http://127.0.0.1:1/"},
        {"client_id": "unknown"},
        {"response_type": "token"},
    ],
)
async def test_a_wrong_question_sends_the_browser_nowhere(
    cloud: AccountsCloud, changes: dict[str, str]
) -> None:
    answer = await (await cloud.sign_in()).open_form(**changes)
    assert answer.status == 400
    assert "Location" not in answer.headers


async def test_a_form_of_a_foreign_page_signs_nobody_in(cloud: AccountsCloud) -> None:
    sign_in = await cloud.sign_in()
    form = await sign_in.open_form()
    for origin in ("https://evil.example", "null"):
        answer = await sign_in.submit(form, *first(cloud), origin=origin)
        assert answer.status == 403


async def test_the_form_is_framed_by_nobody_and_kept_nowhere(cloud: AccountsCloud) -> None:
    answer = await (await cloud.sign_in()).open_form()
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_a_program_signs_in_at_a_registered_port(cloud: AccountsCloud) -> None:
    sign_in = await cloud.sign_in()
    sign_in.client_id = sign_in.access["programClientId"]
    sign_in.redirect = PROGRAM_REDIRECTS[0]
    tokens = await sign_in.tokens(*first(cloud))
    assert cloud.verify(tokens["access_token"])


async def test_the_end_of_a_session_leads_back_to_the_page_alone(cloud: AccountsCloud) -> None:
    sign_in = await cloud.sign_in()
    for address, status in ((f"{cloud.url}/", 302), ("https://evil.example/", 400)):
        async with cloud.client.get(
            sign_in.access["logoutEndpoint"],
            params={"client_id": sign_in.client_id, "logout_uri": address},
            allow_redirects=False,
        ) as answer:
            assert answer.status == status


async def test_a_browser_signs_in_again_without_a_password_until_the_session_ends(
    cloud: AccountsCloud,
) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address in numbers
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        way = await SignIn.at(cloud.url, browser)
        await way.submit(await way.open_form(), *first(cloud))
        silent = await way.open_form()
        tokens = (await way.exchange(way.code_of(silent))).document
        assert cloud.verify(tokens["access_token"])
        async with browser.get(
            way.access["logoutEndpoint"],
            params={"client_id": way.client_id, "logout_uri": f"{cloud.url}/"},
            allow_redirects=False,
        ):
            pass
        assert (await way.open_form()).status == 200


# --- refresh tokens -------------------------------------------------------------------------


async def test_a_refreshed_token_keeps_the_groups(cloud: AccountsCloud) -> None:
    sign_in = await cloud.sign_in()
    tokens = await sign_in.tokens("ada@example.com", cloud.people["ada@example.com"])
    refreshed = (await sign_in.refresh(tokens["refresh_token"])).document
    assert cloud.verify(refreshed["access_token"]) == cloud.verify(tokens["access_token"])
    assert cloud.verify(refreshed["access_token"]).is_administrator


async def test_a_refresh_token_is_rotated_and_the_old_one_lasts_for_a_lost_answer(
    cloud: AccountsCloud,
) -> None:
    sign_in = await cloud.sign_in()
    old = (await sign_in.tokens(*first(cloud)))["refresh_token"]
    new = (await sign_in.refresh(old)).document["refresh_token"]
    assert new != old
    assert (await sign_in.refresh(old)).status == 200
    assert (await sign_in.refresh(new)).status == 200
    assert (await sign_in.refresh(new, client_id="somebody-elses")).status == 400


async def test_a_revoked_refresh_token_and_its_successors_are_over(cloud: AccountsCloud) -> None:
    sign_in = await cloud.sign_in()
    old = (await sign_in.tokens(*first(cloud)))["refresh_token"]
    new = (await sign_in.refresh(old)).document["refresh_token"]
    async with cloud.client.post(
        sign_in.access["revocationEndpoint"], data={"token": new, "client_id": sign_in.client_id}
    ) as answer:
        assert answer.status == 200
    for token in (old, new):
        assert (await sign_in.refresh(token)).document["error"] == "invalid_grant"


async def test_a_disabled_person_gets_no_new_token_and_does_not_sign_in(
    cloud: AccountsCloud,
) -> None:
    cognito = cloud.emulator.client("cognito-idp")
    who = {"UserPoolId": pool_id(cloud), "Username": "sam@example.com"}
    sign_in = await cloud.sign_in()
    tokens = await sign_in.tokens("sam@example.com", cloud.people["sam@example.com"])
    cognito.admin_disable_user(**who)
    try:
        assert (await sign_in.refresh(tokens["refresh_token"])).status == 400
        answer = await sign_in.submit(
            await sign_in.open_form(), "sam@example.com", cloud.people["sam@example.com"]
        )
        assert answer.status == 200  # the form again
    finally:
        cognito.admin_enable_user(**who)


async def test_a_global_sign_out_ends_refresh_tokens(cloud: AccountsCloud) -> None:
    cognito = cloud.emulator.client("cognito-idp")
    sign_in = await cloud.sign_in()
    tokens = await sign_in.tokens("sam@example.com", cloud.people["sam@example.com"])
    await asyncio.sleep(1.1)  # it compares whole seconds
    cognito.admin_user_global_sign_out(UserPoolId=pool_id(cloud), Username="sam@example.com")
    assert (await sign_in.refresh(tokens["refresh_token"])).status == 400


# --- people ---------------------------------------------------------------------------------


async def test_an_invited_person_finds_the_password_in_the_mail_and_chooses_another(
    cloud: AccountsCloud,
) -> None:
    cognito = cloud.emulator.client("cognito-idp")
    created = cognito.admin_create_user(
        UserPoolId=pool_id(cloud),
        Username="rita@example.com",
        UserAttributes=[{"Name": "email", "Value": "rita@example.com"}],
        DesiredDeliveryMediums=["EMAIL"],
    )["User"]
    assert created["UserStatus"] == "FORCE_CHANGE_PASSWORD"
    [found] = cognito.list_users(
        UserPoolId=pool_id(cloud), Filter='email = "rita@example.com"', Limit=1
    )["Users"]
    assert found["Username"] == created["Username"]
    async with cloud.client.get(f"{cloud.emulator.endpoint}{MAIL}") as answer:
        messages = (await answer.json())["messages"][ACCOUNT]
    [mail] = [one for one in messages if one["To"] == ["rita@example.com"]]
    first_password = mail["BodyText"].rpartition(" ")[2].removesuffix(".")

    sign_in = await cloud.sign_in()
    form = await sign_in.submit(await sign_in.open_form(), "rita@example.com", first_password)
    assert "Set a new password" in form.text
    [token] = re.findall(r'name="np_token" value="([^"]+)"', form.text)
    async with cloud.client.post(
        f"{cloud.url}/login",
        data={"np_token": token, **dict.fromkeys(("new_password", "confirm_password"), "x" * 20)},
        headers={"Origin": cloud.url},
        allow_redirects=False,
    ) as answer:
        location = answer.headers["Location"]
    assert location.startswith(f"{cloud.url}/?code=")


# --- the API behind the edge ----------------------------------------------------------------


async def test_the_api_gets_the_request_with_the_edges_secret_and_without_the_clients(
    cloud: AccountsCloud,
) -> None:
    async with cloud.client.post(
        URL(f"{cloud.url}/api/app/v1/keys?cursor=a%2Fb", encoded=True),
        json={"label": "\u00e4"},
        headers={"Authorization": "Bearer csk_x", "X-Cloudscribe-Edge": "guessed"},
    ) as answer:
        assert answer.status == 418
        assert answer.content_type == "application/problem+json"
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        seen = await answer.json(content_type=None)

    assert seen["path"] == "/api/app/v1/keys"
    assert seen["query"] == "cursor=a%2Fb"
    assert seen["method"] == "POST"
    assert json.loads(seen["body"]) == {"label": "\u00e4"}
    assert seen["headers"]["authorization"] == "Bearer csk_x"
    assert seen["headers"]["x-cloudscribe-edge"] == cloud.accounts.edge.secret
    assert seen["table"] == TABLE


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_every_method_reaches_the_api(cloud: AccountsCloud, method: str) -> None:
    url = f"{cloud.url}/api/app/v1/conversations/abc/people/def"
    async with cloud.client.request(method, url) as answer:
        seen = await answer.json(content_type=None)
    assert (seen["method"], seen["path"]) == (method, "/api/app/v1/conversations/abc/people/def")


@pytest.mark.parametrize(
    "path", ["/oauth2/userInfo", "/_ministack/ses/messages", "/_aws/execute-api/x", "/login"]
)
async def test_the_emulators_other_paths_are_not_reached(cloud: AccountsCloud, path: str) -> None:
    async with cloud.client.get(f"{cloud.url}{path}") as answer:
        assert "the page" in await answer.text()


async def test_a_private_key_of_tickets_is_created_once(cloud: AccountsCloud) -> None:
    ssm = cloud.emulator.client("ssm")
    name = f"{TICKET_KEYS}/1"
    ssm.put_parameter(Name=name, Value="first", Type="SecureString", Overwrite=False)
    with pytest.raises(ClientError, match="ParameterAlreadyExists"):
        ssm.put_parameter(Name=name, Value="second", Type="SecureString", Overwrite=False)
    assert ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] == "first"
    ssm.delete_parameter(Name=name)
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name=name, WithDecryption=True)


async def test_the_table_takes_a_change_of_the_version_that_was_read_alone(
    cloud: AccountsCloud,
) -> None:
    table = AccessTable(cloud.accounts.table, cloud.emulator.client("dynamodb"))
    conversation_id = make_id()
    record = ConversationRecord(
        conversation_id=conversation_id,
        title="Meeting",
        owner="ada",
        created_at=datetime.now(UTC),
    )
    assert table.create(record)
    assert not table.create(record)
    renamed = record.model_copy(update={"title": "Hall"})
    table.replace(record, renamed)
    with pytest.raises(RecordChanged):
        table.replace(record, renamed)
    found = table.load(None, conversation_id).record
    assert found is not None
    assert found.title == "Hall"


# --- a second start -------------------------------------------------------------------------


async def test_a_second_start_keeps_people_sessions_and_secrets_and_is_quick(
    tmp_path: Path,
) -> None:
    async with accounts_cloud(tmp_path) as cloud:
        before = cloud.accounts
        sign_in = await cloud.sign_in()
        tokens = await sign_in.tokens(*first(cloud))
        person = cloud.verify(tokens["access_token"])
    assert stat.S_IMODE((tmp_path / "people.json").stat().st_mode) == 0o600

    async with accounts_cloud(tmp_path) as cloud:
        assert cloud.accounts.people == before.people
        assert cloud.accounts.edge.secret == before.edge.secret
        assert cloud.accounts.edge.issuer == before.edge.issuer
        # The page's port is another one now, and so are its redirect addresses.
        again = await cloud.sign_in()
        assert cloud.verify(tokens["access_token"]) == person
        refreshed = await again.refresh(tokens["refresh_token"])
        assert cloud.verify(refreshed.document["access_token"]) == person
        assert cloud.verify((await again.tokens(*first(cloud)))["access_token"]) == person
        began = time.monotonic()
        await asyncio.to_thread(
            set_up, cloud.emulator, tmp_path, [cloud.url], "recordings", sources(tmp_path)
        )
        assert time.monotonic() - began < 2


async def test_a_lost_file_of_passwords_makes_new_ones(tmp_path: Path) -> None:
    async with accounts_cloud(tmp_path) as cloud:
        old = cloud.people
    (tmp_path / "people.json").unlink()
    async with accounts_cloud(tmp_path) as cloud:
        assert not {*old.values()} & {*cloud.people.values()}
        assert await (await cloud.sign_in()).tokens(*first(cloud))


def first(cloud: AccountsCloud) -> tuple[str, str]:
    """Return e-mail and password of somebody."""
    return next(iter(cloud.people.items()))
