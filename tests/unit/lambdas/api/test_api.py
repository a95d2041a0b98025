from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any, cast

import boto3
import jwt
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from access.decisions import Action
from access.messages import MOST_KEYS, ROOT
from access.records import MOST_LINKS
from access.store import AccessTable
from access.tickets import check_use, verify_ticket
from access.tokens import Issuer, IssuerKeys, TokenVerifier, person_id
from lambdas.api.conversations import Conversations
from lambdas.api.identity import Identification
from lambdas.api.people import People
from lambdas.api.recordings import Recordings
from lambdas.api.routes import make_app
from lambdas.api.signing import PERIOD, TicketSigner
from tests.support.access import CLIENT, ISSUER, NOW, issuer_key, key_set
from tests.support.tables import access_table_definition

pytestmark = pytest.mark.unit

KEYS = "/cloudscribe/test/ticket-keys"


@dataclass(slots=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.body["reason"]


class FakeContext:
    aws_request_id = "request"
    function_name = "api"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:api"


@dataclass(slots=True)
class Site:
    """The API with its table, parameters and user pool, and a clock."""

    table: AccessTable
    ssm: Any
    cognito: Any
    pool: str
    now: Any = NOW
    keys: bytes | OSError = field(default_factory=lambda: key_set(issuer_key()))
    app: Any = None

    def start(self, *, managed: bool = True) -> None:
        issuer = Issuer(issuer=ISSUER, audience=frozenset({CLIENT}), is_cognito=True)
        verifier = TokenVerifier(issuer, IssuerKeys(self._fetch, lambda: 0.0))
        signer = TicketSigner(self.ssm, KEYS, self.table, lambda: self.now)
        self.app = make_app(
            Identification(self.table, verifier),
            Conversations(self.table, signer, lambda: self.now),
            People(
                ISSUER,
                self.table,
                (lambda: self.cognito) if managed else None,
                self.pool,
                "admins",
            ),
            cast("Recordings", None),  # test_recordings.py has these routes
        )

    def _fetch(self) -> bytes:
        if isinstance(self.keys, OSError):
            raise self.keys
        return self.keys

    def request(
        self, method: str, path: str, body: Any = None, by: str | None = None, **query: str
    ) -> Answer:
        """Send a request as API Gateway does; `by` is the credential."""
        headers = {"content-type": "application/json"}
        if by is not None:
            headers["authorization"] = f"Bearer {by}"
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": f"{ROOT}{path}",
            "rawQueryString": "",
            "queryStringParameters": query or None,
            "headers": headers,
            "requestContext": {
                "http": {"method": method, "path": f"{ROOT}{path}", "sourceIp": "192.0.2.1"},
                "stage": "$default",
                "requestId": "r",
            },
            "body": body if isinstance(body, str) or body is None else json.dumps(body),
            "isBase64Encoded": False,
        }
        found = self.app.resolve(event, FakeContext())
        text = found.get("body") or "null"
        headers = found.get("headers") or {
            name: values[0] for name, values in found["multiValueHeaders"].items()
        }
        return Answer(found["statusCode"], json.loads(text), headers)

    def create(self, by: str, title: str = "Meeting") -> str:
        answer = self.request("POST", "/conversations", {"title": title}, by)
        assert answer.status == HTTPStatus.CREATED
        return str(answer.body["conversationId"])

    def share(self, by: str, conversation: str, **values: Any) -> tuple[str, str]:
        """Return the id and the secret of a new link."""
        answer = self.request("POST", f"/conversations/{conversation}/links", values, by)
        assert answer.status == HTTPStatus.CREATED
        return answer.body["link"]["linkId"], answer.body["secret"]

    def key(self, by: str, *scopes: str) -> tuple[str, str]:
        answer = self.request("POST", "/keys", {"label": "subtitles", "scopes": scopes}, by)
        assert answer.status == HTTPStatus.CREATED
        return answer.body["key"]["keyId"], answer.body["secret"]

    def ticket(self, by: str | None, conversation: str, action: str = "read") -> Answer:
        wanted = {"conversationId": conversation, "action": action}
        return self.request("POST", "/tickets", wanted, by)


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[Any, Any, Any, str]]:
    with mock_aws():
        dynamodb = boto3.client("dynamodb", region_name="us-east-1")
        cognito = boto3.client("cognito-idp", region_name="us-east-1")
        pool = cognito.create_user_pool(PoolName="people", UsernameAttributes=["email"])
        pool_id = pool["UserPool"]["Id"]
        cognito.create_group(UserPoolId=pool_id, GroupName="admins")
        yield dynamodb, boto3.client("ssm", region_name="us-east-1"), cognito, pool_id


@pytest.fixture
def site(aws: tuple[Any, Any, Any, str], request: pytest.FixtureRequest) -> Site:
    dynamodb, ssm, cognito, pool = aws
    name = f"access-{abs(hash(request.node.nodeid))}"
    dynamodb.create_table(**access_table_definition(name))
    for parameter in ssm.describe_parameters()["Parameters"]:
        ssm.delete_parameter(Name=parameter["Name"])
    made = Site(AccessTable(name, dynamodb), ssm, cognito, pool)
    made.start()
    return made


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(jwt.api_jwt.datetime):  # type: ignore[misc,name-defined]  # PyJWT has no clock
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return NOW.astimezone(tz)

    monkeypatch.setattr(jwt.api_jwt, "datetime", Clock)


@pytest.fixture(autouse=True)
def _log_nothing_secret(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG, "lambdas")
    caplog.set_level(logging.DEBUG, "access")
    yield
    for secret in (ADA, "csk_", "csl_", "ada@example.com", "Meeting"):
        assert secret not in caplog.text


def token(subject: str, **claims: Any) -> str:
    return issuer_key().sign(sub=subject, **claims)


def administrator(subject: str) -> str:
    return token(subject, **{"cognito:groups": ["admins"]})


def who(subject: str) -> str:
    return person_id(ISSUER, subject)


ADA, SAM, ROOT_USER = token("ada"), token("sam"), administrator("root")


# --- who --------------------------------------------------------------------------------


def test_a_person_is_who_the_token_says(site: Site) -> None:
    answer = site.request("GET", "/me", by=ADA)

    assert answer.status == HTTPStatus.OK
    assert answer.body["subject"] == who("ada")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        (None, "not_signed_in"),
        ("", "token_invalid"),
        (token("ada", client_id="another"), "token_invalid"),
        (token("ada", exp=int(NOW.timestamp()) - 60), "token_invalid"),
        (token("ada") + ",Bearer x", "token_invalid"),
        ("csk_unknown", "key_invalid"),
        (f"csk_{'a' * 26}_{'a' * 26}", "key_invalid"),
        (f"csl_{'a' * 26}_{'a' * 26}", "not_signed_in"),
    ],
)
def test_who_proves_nothing_is_refused(site: Site, credential: str | None, reason: str) -> None:
    answer = site.request("GET", "/me", by=credential)

    assert answer.refusal == (HTTPStatus.UNAUTHORIZED, reason)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_without_the_issuers_keys_nobody_is_let_in_and_told_to_try_again(site: Site) -> None:
    site.keys = OSError("away")
    site.start()

    assert site.request("GET", "/me", by=ADA).refusal == (503, "unavailable")


def test_a_blocked_person_is_refused_at_once(site: Site) -> None:
    conversation = site.create(ADA)
    _, link = site.share(ADA, conversation)
    site.table.set_blocked(who("ada"), is_blocked=True)

    assert site.request("GET", "/me", by=ADA).refusal == (403, "blocked")
    assert site.ticket(ADA, conversation).refusal == (403, "blocked")
    assert site.ticket(link, conversation).refusal == (401, "link_invalid")


# --- conversations ----------------------------------------------------------------------


def test_a_conversation_is_created_listed_and_renamed(site: Site) -> None:
    conversation = site.create(ADA)

    listed = site.request("GET", "/conversations", by=ADA).body["conversations"]
    assert [one["conversationId"] for one in listed] == [conversation]
    renamed = site.request(
        "PATCH", f"/conversations/{conversation}", {"title": "Board", "version": 1}, ADA
    )
    assert (renamed.status, renamed.body["title"]) == (200, "Board")
    again = site.request(
        "PATCH", f"/conversations/{conversation}", {"title": "Boring", "version": 1}, ADA
    )
    assert again.refusal == (409, "changed")


FOREIGN: list[tuple[str, str, Any]] = [
    ("GET", "/conversations/{id}", None),
    ("PATCH", "/conversations/{id}", {"title": "Mine", "version": 1}),
    ("PUT", "/conversations/{id}/people/mallory", {"role": "reader"}),
    ("DELETE", "/conversations/{id}/people/mallory", None),
    ("POST", "/conversations/{id}/links", {}),
    ("DELETE", "/conversations/{id}/links/l1", None),
    ("POST", "/tickets", {"conversationId": "{id}", "action": "read"}),
    ("POST", "/tickets", {"conversationId": "{id}", "action": "speak"}),
]


@pytest.mark.parametrize(("method", "path", "body"), FOREIGN)
@pytest.mark.parametrize("by", [SAM, ROOT_USER])
def test_a_foreign_conversation_looks_like_an_unknown_one_by_every_route(
    site: Site, method: str, path: str, body: Any, by: str
) -> None:
    def ask(conversation: str) -> Answer:
        filled = json.loads(json.dumps(body).replace("{id}", conversation))
        return site.request(method, path.replace("{id}", conversation), filled, by)

    foreign, unknown = ask(site.create(ADA)), ask("a" * 26)

    assert foreign == unknown
    assert foreign.refusal == (404, "not_found")


def test_people_get_roles_and_lose_them(site: Site) -> None:
    conversation = site.create(ADA)
    path = f"/conversations/{conversation}/people/{who('sam')}"

    site.request("PUT", path, {"role": "reader"}, ADA)
    seen = site.request("GET", f"/conversations/{conversation}", by=SAM).body
    assert (seen["role"], seen.get("people"), seen.get("links")) == ("reader", None, None)
    assert site.ticket(SAM, conversation).status == 201
    assert site.ticket(SAM, conversation, "speak").refusal == (403, "role_missing")
    assert site.request("DELETE", path, by=SAM).refusal == (403, "role_missing")
    site.request("DELETE", path, by=ADA)
    assert site.ticket(SAM, conversation).refusal == (404, "not_found")


def test_the_owner_keeps_the_role(site: Site) -> None:
    path = f"/conversations/{site.create(ADA)}/people/{who('ada')}"

    assert site.request("PUT", path, {"role": "reader"}, ADA).refusal == (409, "is_owner")


# --- share links ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "action", "refusal"),
    [
        ("reader", "read", None),
        ("reader", "speak", (403, "role_missing")),
        ("speaker", "speak", None),
    ],
)
def test_a_link_lets_guests_do_what_it_is_for(
    site: Site, role: str, action: str, refusal: tuple[int, str] | None
) -> None:
    conversation = site.create(ADA)
    _, secret = site.share(ADA, conversation, role=role, label="hall", days=1)

    answer = site.ticket(secret, conversation, action)

    if refusal:
        assert answer.refusal == refusal
    else:
        assert (answer.status, answer.body["title"]) == (201, "Meeting")
        assert answer.body["role"] == role


def test_a_link_is_for_its_conversation_until_it_is_revoked_or_over(site: Site) -> None:
    conversation, other = site.create(ADA), site.create(ADA)
    link_id, secret = site.share(ADA, conversation)
    _, short = site.share(ADA, conversation, days=1)
    invalid = (401, "link_invalid")

    assert site.ticket(secret, other).refusal == invalid
    assert site.ticket(secret, "a" * 26).refusal == invalid
    assert site.ticket(secret[:-1] + "x", conversation).refusal == invalid
    site.request("DELETE", f"/conversations/{conversation}/links/{link_id}", by=ADA)
    assert site.ticket(secret, conversation).refusal == invalid
    site.now = NOW + timedelta(days=1)
    assert site.ticket(short, conversation).refusal == invalid


def test_a_guessed_link_is_refused_by_one_reading_whether_or_not_there_is_a_conversation(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = site.create(ADA)
    link, _ = site.share(ADA, conversation)
    read, reads, taken = site.table.read, [], []

    def count(_: AccessTable, keys: Any, **more: Any) -> Any:
        reads.append(1)
        return read(keys, **more)

    monkeypatch.setattr(AccessTable, "read", count)
    for secret, asked in (
        (f"csl_{link}_{'a' * 26}", conversation),
        (f"csl_{'a' * 26}_{'a' * 26}", conversation),
        (f"csl_{'a' * 26}_{'a' * 26}", "a" * 26),
    ):
        reads.clear()
        assert site.ticket(secret, asked).refusal == (401, "link_invalid")
        taken.append(len(reads))

    assert taken == [1, 1, 1]


@pytest.mark.parametrize(("method", "path", "body"), [*FOREIGN[:6], ("GET", "/me", None)])
def test_a_guest_has_tickets_and_nothing_else(
    site: Site, method: str, path: str, body: Any
) -> None:
    conversation = site.create(ADA)
    _, secret = site.share(ADA, conversation, role="speaker")

    answer = site.request(method, path.replace("{id}", conversation), body, secret)

    assert answer.refusal == (401, "not_signed_in")


def test_links_that_are_over_make_room_for_new_ones(site: Site) -> None:
    conversation = site.create(ADA)
    for _ in range(MOST_LINKS):
        site.share(ADA, conversation, days=1)
    path = f"/conversations/{conversation}/links"

    assert site.request("POST", path, {}, ADA).refusal == (429, "too_many")
    site.now = NOW + timedelta(days=1)
    assert site.request("POST", path, {}, ADA).status == 201
    links = site.request("GET", f"/conversations/{conversation}", by=ADA).body["links"]
    assert len(links) == 1


def test_a_secret_is_shown_once(site: Site) -> None:
    conversation = site.create(ADA)
    _, secret = site.share(ADA, conversation)
    _, key = site.key(ADA, "read")

    seen = [
        site.request("GET", path, by=ADA).body
        for path in ("/keys", f"/conversations/{conversation}", "/conversations")
    ]

    assert secret.rpartition("_")[2] not in json.dumps(seen)
    assert key.rpartition("_")[2] not in json.dumps(seen)
    assert "hash" not in json.dumps(seen).lower()


# --- keys -------------------------------------------------------------------------------


def test_a_key_does_what_it_is_for_until_it_is_revoked(site: Site) -> None:
    conversation = site.create(ADA)
    key_id, key = site.key(ADA, "read")

    assert site.request("GET", "/me", by=key).body["scopes"] == ["read"]
    assert site.ticket(key, conversation).status == 201
    assert site.ticket(key, conversation, "speak").refusal == (403, "scope_missing")
    assert site.request("POST", "/keys", {"label": "x", "scopes": ["read"]}, key).refusal == (
        403,
        "scope_missing",
    )
    assert site.request("DELETE", f"/keys/{key_id}", by=SAM).status == 204
    assert site.ticket(key, conversation).status == 201  # it is not Sam's to revoke
    assert site.request("DELETE", f"/keys/{key_id}", by=ADA).status == 204
    assert site.ticket(key, conversation).refusal == (401, "key_invalid")


def test_a_key_makes_links_only_for_what_it_may_do_itself(site: Site) -> None:
    conversation = site.create(ADA)
    _, key = site.key(ADA, "manage", "read")
    path = f"/conversations/{conversation}/links"

    assert site.request("POST", path, {"role": "reader"}, key).status == 201
    assert site.request("POST", path, {"role": "speaker"}, key).refusal == (403, "scope_missing")


def test_an_administrators_key_is_no_administrator(site: Site) -> None:
    _, key = site.key(ROOT_USER, "read", "speak", "manage")

    assert site.request("GET", "/people", by=key).refusal == (403, "scope_missing")


def test_keys_are_bounded(site: Site) -> None:
    for _ in range(MOST_KEYS):
        site.key(ADA, "read")

    answer = site.request("POST", "/keys", {"label": "x", "scopes": ["read"]}, ADA)

    assert answer.refusal == (429, "too_many")


# --- tickets ----------------------------------------------------------------------------


def test_a_ticket_opens_what_was_asked_for(site: Site) -> None:
    conversation = site.create(ADA)

    answer = site.ticket(ADA, conversation, "speak").body

    ticket = verify_ticket(answer["ticket"], site.table.list_public_keys(NOW).get, NOW)
    check_use(ticket, Action.SPEAK, conversation)
    assert answer["secondsLeft"] == 120


def test_a_guests_ticket_ends_with_the_link_and_has_its_languages(site: Site) -> None:
    conversation = site.create(ADA)
    _, secret = site.share(ADA, conversation, days=1, languages=["de"])
    site.now = NOW + timedelta(hours=23, minutes=30)

    answer = site.ticket(secret, conversation).body

    assert (answer["secondsLeft"], answer["languages"]) == (1_800, ["de"])


def test_another_process_signs_with_the_same_key_and_a_new_period_has_a_new_one(
    site: Site,
) -> None:
    conversation = site.create(ADA)
    keys = []
    for months in (0, 0, 1, 3):
        site.start()  # as a new process
        site.now = NOW + months * PERIOD
        site.keys = key_set(issuer_key())
        ticket = site.ticket(ADA, conversation).body["ticket"]
        keys.append(jwt.get_unverified_header(ticket)["kid"])

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    names = {one["Name"] for one in site.ssm.describe_parameters()["Parameters"]}
    number = int(NOW.timestamp() // PERIOD.total_seconds())
    assert names == {f"{KEYS}/{number}", f"{KEYS}/{number + 3}"} - {f"{KEYS}/{number + 1}"}


# --- people -----------------------------------------------------------------------------


def test_an_administrator_invites_lists_and_blocks(site: Site) -> None:
    invited = site.request("POST", "/people", {"email": "new@example.com"}, ROOT_USER)
    again = site.request("POST", "/people", {"email": "new@example.com"}, ROOT_USER)
    user = invited.body["user"]

    assert invited.status == 201
    assert again.refusal == (409, "exists")
    blocked = site.request("PATCH", f"/people/{user}", {"isBlocked": True}, ROOT_USER)
    assert (blocked.status, blocked.body["isBlocked"]) == (200, True)
    listed = site.request("GET", "/people", by=ROOT_USER).body["people"]
    [found] = [one for one in listed if one["user"] == user]
    assert (found["email"], found["isBlocked"]) == ("new@example.com", True)
    assert not site.cognito.admin_get_user(UserPoolId=site.pool, Username=user)["Enabled"]


def test_all_administrators_are_listed_as_such(site: Site) -> None:
    pool = site.cognito.create_user_pool(PoolName="many", UsernameAttributes=["email"])
    site.pool = pool["UserPool"]["Id"]
    site.cognito.create_group(UserPoolId=site.pool, GroupName="admins")
    site.start()
    for number in range(61):
        wanted = {"email": f"chief{number}@example.com", "isAdministrator": True}
        assert site.request("POST", "/people", wanted, ROOT_USER).status == HTTPStatus.CREATED

    people: list[dict[str, Any]] = []
    page: dict[str, str] = {}
    while True:
        answer = site.request("GET", "/people", by=ROOT_USER, **page).body
        people += answer["people"]
        if answer["cursor"] is None:
            break
        page = {"cursor": answer["cursor"]}
    assert len(people) == 61
    assert all(person["isAdministrator"] for person in people)


def test_an_invitation_that_makes_no_administrator_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "half@"}}, "")

    monkeypatch.setattr(site.cognito, "admin_add_user_to_group", refuse)
    wanted = {"email": "half@example.com", "isAdministrator": True}
    answer = site.request("POST", "/people", wanted, ROOT_USER)

    assert answer.refusal == (409, "no_administrator")
    assert "invited" in answer.body["detail"]
    assert "half@" not in caplog.text
    listed = site.request("GET", "/people", by=ROOT_USER).body["people"]
    [found] = [one for one in listed if one["email"] == "half@example.com"]
    assert not found["isAdministrator"]


def test_who_is_blocked_is_shown_as_in_the_list_and_can_be_let_in_again(site: Site) -> None:
    wanted = {"email": "chief@example.com", "isAdministrator": True}
    user = site.request("POST", "/people", wanted, ROOT_USER).body["user"]
    path = f"/people/{user}"

    blocked = site.request("PATCH", path, {"isBlocked": True}, ROOT_USER).body
    listed = site.request("GET", "/people", by=ROOT_USER).body["people"]
    assert blocked in listed
    assert (blocked["isAdministrator"], blocked["hasJoined"]) == (True, False)
    again = site.request("PATCH", path, {"isBlocked": False}, ROOT_USER).body
    assert not again["isBlocked"]
    assert site.cognito.admin_get_user(UserPoolId=site.pool, Username=user)["Enabled"]


def test_an_unknown_person_is_not_found(site: Site) -> None:
    answer = site.request("PATCH", "/people/nobody", {"isBlocked": True}, ROOT_USER)

    assert answer.refusal == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/people", None),
        ("POST", "/people", {"email": "a@example.com"}),
        ("PATCH", "/people/x", {"isBlocked": True}),
    ],
)
def test_only_administrators_manage_people(site: Site, method: str, path: str, body: Any) -> None:
    assert site.request(method, path, body, ADA).refusal == (403, "administrators_only")


def test_where_people_are_managed_elsewhere_they_can_be_blocked_here(site: Site) -> None:
    site.start(managed=False)

    assert site.request("GET", "/people", by=ROOT_USER).refusal == (404, "people_elsewhere")
    site.request("PATCH", "/people/ada", {"isBlocked": True}, ROOT_USER)
    assert site.request("GET", "/me", by=ADA).refusal == (403, "blocked")
    me = site.request("PATCH", "/people/root", {"isBlocked": True}, ROOT_USER)
    assert me.refusal == (409, "is_yourself")


# --- anything ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "/conversations", {}, "title"),
        ("POST", "/conversations", {"title": ""}, "1 to 200"),
        ("POST", "/conversations", {"title": "x", "owner": "me"}, "owner"),
        ("POST", "/conversations", "{", "JSON"),
        ("POST", "/tickets", {"conversationId": "a b", "action": "read"}, "conversationId"),
        ("POST", "/tickets", {"conversationId": "a", "action": "manage"}, "action"),
        ("POST", "/conversations/a/links", {"days": 91}, "days"),
        ("POST", "/conversations/a/links", {"role": "owner"}, "role"),
        ("POST", "/keys", {"label": "x", "scopes": []}, "scopes"),
        ("GET", "/conversations/a%20b", None, "conversation_id"),
        ("PUT", "/conversations/a/people/a%40b", {"role": "reader"}, "subject"),
    ],
)
def test_an_invalid_request_is_told_what_is_wrong(
    site: Site, method: str, path: str, body: Any, words: str
) -> None:
    answer = site.request(method, path, body, ADA)

    assert answer.refusal == (422, "invalid")
    assert words in answer.body["detail"]


def test_a_cursor_that_is_no_key_of_the_table_is_refused(site: Site) -> None:
    answer = site.request("GET", "/conversations", by=ADA, cursor="x" * 201)

    assert answer.refusal == (422, "invalid")


def test_a_cursor_leads_to_ones_own_conversations_only(site: Site) -> None:
    site.create(ADA, "Hers")
    last = f"9999-01-01T00:00:00.000Z#{'z' * 26}"
    cursors = ("", "a", last, f"{last}#x", f"../conversation#{last}")

    for cursor in cursors:
        seen = site.request("GET", "/conversations", by=SAM, cursor=cursor)
        assert (seen.status, seen.body["conversations"]) == (200, [])


def test_an_unknown_route_has_a_problem(site: Site) -> None:
    assert site.request("GET", "/nothing", by=ADA).refusal == (404, "no_route")


def test_no_caller_and_route_yields_a_foreign_conversation(site: Site) -> None:
    conversation = site.create(ADA, "Secret plans")
    # Who has valid credentials, but none for this conversation.
    elsewhere = site.create(SAM)
    _, key = site.key(SAM, "read", "speak", "manage")
    _, of_administrator = site.key(ROOT_USER, "read", "speak", "manage")
    _, link = site.share(SAM, elsewhere, role="speaker")
    revoked, was_valid = site.share(ADA, conversation, role="speaker")
    site.request("DELETE", f"/conversations/{conversation}/links/{revoked}", by=ADA)
    callers = (None, SAM, ROOT_USER, key, of_administrator, link, was_valid, "x", "csk_a_b")
    before = site.request("GET", f"/conversations/{conversation}", by=ADA).body
    routes = [
        *FOREIGN,
        ("GET", "/conversations", None),
        ("GET", "/me", None),
        ("GET", "/keys", None),
        ("PUT", f"/conversations/{{id}}/people/{who('sam')}", {"role": "speaker"}),
        ("DELETE", f"/conversations/{{id}}/people/{who('ada')}", None),
        ("GET", f"/conversations/{elsewhere}", None),
        ("GET", f"/conversations/{{id}}{elsewhere}", None),
    ]

    @settings(max_examples=120, deadline=None)
    @given(st.sampled_from(callers), st.sampled_from(routes), st.sampled_from(("", conversation)))
    def ask(by: str | None, route: tuple[str, str, Any], cursor: str) -> None:
        method, path, body = route
        filled = json.loads(json.dumps(body).replace("{id}", conversation))
        query = {"cursor": cursor} if cursor else {}
        answer = site.request(method, path.replace("{id}", conversation), filled, by, **query)

        seen = json.dumps(answer.body)
        assert "Secret plans" not in seen
        assert who("ada") not in seen
        if "{id}" in json.dumps([path, body]):
            assert answer.status in {401, 403, 404}

    ask()

    assert site.request("GET", f"/conversations/{conversation}", by=ADA).body == before
