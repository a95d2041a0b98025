"""The smoke check of accounts: what it takes for closed, and what for a way in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws
from yarl import URL

from client.errors import NoConnection
from client.live.connection import no_ticket
from scripts import smoke_access
from scripts.smoke_access import access, speak
from scripts.smoke_checks import Finding, Place, Verdict

pytestmark = pytest.mark.unit

BASE = "https://words.example.org"
API = "https://api.example.net"
ISSUER = "https://issuer.example.com/pool"
SITE = {
    "kind": "accounts",
    "issuer": ISSUER,
    "pageClientId": "page",
    "programClientId": "program",
    "authorizationEndpoint": "https://pages.example.com/oauth2/authorize",
    "tokenEndpoint": "https://pages.example.com/oauth2/token",
}
Answer = tuple[int, Any]


def refusal(status: int, reason: str) -> Answer:
    return status, {"title": "No", "status": status, "detail": "No.", "reason": reason}


#: A site that lets nobody in.
CLOSED: dict[str, Answer] = {
    f"{BASE}/access.json": (200, SITE),
    f"{ISSUER}/.well-known/openid-configuration": (
        200,
        {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"},
    ),
    f"{ISSUER}/keys": (200, {"keys": [{"kid": "1"}, {"kid": "2"}]}),
    f"{BASE}/api/stt/connect": refusal(401, "ticket_missing"),
    f"{BASE}/api/stt/transcribe": refusal(401, "ticket_missing"),
    f"{BASE}/api/app/v1/me": refusal(401, "not_signed_in"),
    f"{API}/api/app/v1/me": refusal(403, "not_the_edge"),
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Answer]:
    """What the site answers; a test spoils it."""
    known = dict(CLOSED)

    async def send(method: str, url: URL, **more: Any) -> tuple[int, bytes]:
        assert method == "GET"
        assert "Authorization" not in more.get("headers", {})
        if "/api/stt/" in url.path:
            assert more["headers"]["Upgrade"] == "websocket"
        found = known.get(str(url.with_query(None)))
        if found is None:
            raise NoConnection(f"{url.origin()} does not answer")
        status, document = found
        return status, document if isinstance(document, bytes) else json.dumps(document).encode()

    monkeypatch.setattr(smoke_access, "send", send)
    monkeypatch.setattr("client.accounts.site.send", send)
    return known


@pytest.mark.usefixtures("answers")
async def test_a_site_that_lets_nobody_in_is_well() -> None:
    found = await access(BASE, {"ApiUrl": API})

    assert found.verdict is Verdict.OK
    assert ISSUER in found.text
    assert "2 keys" in found.text
    assert "nor around CloudFront" in found.text


@pytest.mark.usefixtures("answers")
async def test_without_the_apis_own_address_that_way_is_not_claimed() -> None:
    found = await access(BASE, {})

    assert found.verdict is Verdict.OK
    assert "CloudFront" not in found.text


@pytest.mark.parametrize(
    ("place", "answer", "words"),
    [
        (f"{BASE}/api/stt/connect", (101, b""), "connect has to refuse"),
        (f"{BASE}/api/stt/connect", refusal(401, "ticket_invalid"), "and ticket_invalid"),
        (f"{BASE}/api/stt/transcribe", (200, b""), "answers HTTP 200"),
        (f"{BASE}/api/app/v1/me", (200, {"subject": "x"}), "me has to refuse"),
        # A gateway's own refusal says nothing of the function behind it.
        (f"{BASE}/api/app/v1/me", (403, b"<html>"), "answers HTTP 403"),
        (f"{API}/api/app/v1/me", refusal(401, "not_signed_in"), "not_the_edge"),
        (f"{ISSUER}/keys", (200, {"keys": []}), "publishes no keys"),
        (f"{ISSUER}/keys", (503, b""), "answers HTTP 503"),
        (f"{ISSUER}/keys", (200, b"<html>"), "something else"),
        (
            f"{ISSUER}/.well-known/openid-configuration",
            (200, {"issuer": "https://other.example.com", "jwks_uri": f"{ISSUER}/keys"}),
            "calls itself 'https://other.example.com'",
        ),
        (f"{BASE}/access.json", (500, b""), "access.json answers HTTP 500"),
    ],
)
async def test_every_way_in_fails_the_check_and_is_named(
    place: str, answer: Answer, words: str, answers: dict[str, Answer]
) -> None:
    answers[place] = answer

    found = await access(BASE, {"ApiUrl": API})

    assert found.verdict is Verdict.FAILED
    assert words in found.text


@pytest.mark.parametrize("place", [each for each in CLOSED if "access.json" not in each])
async def test_what_does_not_answer_fails_the_check(place: str, answers: dict[str, Answer]) -> None:
    del answers[place]

    assert (await access(BASE, {"ApiUrl": API})).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("base", "verdict"), [(BASE, Verdict.NOTE), ("http://127.0.0.1:8080", Verdict.SKIPPED)]
)
async def test_an_open_site_is_pointed_out_unless_it_is_on_this_machine(
    base: str, verdict: Verdict, answers: dict[str, Answer]
) -> None:
    answers[f"{base}/access.json"] = (200, {"kind": "open"})

    found = await access(base, {})

    assert found.verdict is verdict
    assert "open" in found.text.lower()


@pytest.mark.parametrize("said", [(200, {"kind": "open"}), (404, b"")])
async def test_a_page_that_forgets_its_accounts_fails_the_check(
    said: Answer, answers: dict[str, Answer]
) -> None:
    answers[f"{BASE}/access.json"] = said

    found = await access(BASE, {"ApiUrl": API})

    assert found.verdict is Verdict.FAILED
    assert "though there are accounts" in found.text


# --- speaking -----------------------------------------------------------------------------------


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> list[Place | None]:
    """Where the check has spoken."""
    places: list[Place | None] = []

    async def live(_: str, place: Place | None = None) -> Finding:
        places.append(place)
        return Finding("live", Verdict.OK, "words")

    monkeypatch.setattr(smoke_access, "live", live)
    monkeypatch.delenv("CLOUDSCRIBE_API_KEY", raising=False)
    return places


async def test_without_a_key_nobody_speaks_where_people_sign_in(
    answers: dict[str, Answer], spoken: list[Place | None]
) -> None:
    found = await speak(BASE, {})

    assert (found.verdict, spoken) == (Verdict.SKIPPED, [])
    assert "CLOUDSCRIBE_API_KEY" in found.text
    assert answers == CLOSED


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """SSM, in memory."""
    with mock_aws():
        ssm = boto3.client("ssm", region_name="us-east-1")
        monkeypatch.setattr(smoke_access, "connect", {"ssm": ssm}.__getitem__)
        yield ssm


def test_pipelines_find_the_key_that_a_person_stored(stored: Any) -> None:
    name = "/cloudscribe/demo/smoke-key"
    assert smoke_access.find_key({"SmokeKeyName": name}) is None

    stored.put_parameter(Name=name, Value="csk_key", Type="SecureString")

    assert smoke_access.find_key({"SmokeKeyName": name}) == "csk_key"
    assert smoke_access.find_key({}) is None


@pytest.mark.usefixtures("answers")
async def test_a_stored_key_that_may_not_be_read_fails_the_check(
    spoken: list[Place | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ssm = boto3.client(
        "ssm", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key=""
    )
    monkeypatch.setattr(smoke_access, "connect", lambda _: ssm)
    with Stubber(ssm) as stub:
        stub.add_client_error("get_parameter", "AccessDeniedException", "no right")
        found = await speak(BASE, {"SmokeKeyName": "/cloudscribe/demo/smoke-key"})

    assert (found.verdict, spoken) == (Verdict.FAILED, [])
    assert "AccessDeniedException" in found.text


async def test_an_open_site_is_spoken_to_as_ever_and_gets_no_key(
    answers: dict[str, Answer], spoken: list[Place | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSCRIBE_API_KEY", "csk_of_another_site")
    answers[f"{BASE}/access.json"] = (200, {"kind": "open"})

    assert (await speak(BASE, {})).verdict is Verdict.OK
    assert spoken == [None]


def conversation(conversation_id: str, title: str, role: str) -> Mapping[str, object]:
    created_at = "2026-12-01T00:00:00Z"
    return {
        "conversationId": conversation_id,
        "title": title,
        "role": role,
        "createdAt": created_at,
        "version": 1,
    }


OTHERS = [
    conversation("a" * 26, "Board", "owner"),
    # Somebody else's, in which the key may only listen.
    conversation("b" * 26, "Smoke check", "reader"),
]


@pytest.mark.parametrize(
    ("mine", "expected"),
    [([], "n" * 26), ([conversation("m" * 26, "Smoke check", "owner")], "m" * 26)],
    ids=["new", "again"],
)
async def test_a_key_speaks_in_one_conversation_of_its_owner(
    mine: list[Mapping[str, object]],
    expected: str,
    answers: dict[str, Answer],
    spoken: list[Place | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []

    class Api:
        def __init__(self, base: str, credential: str) -> None:
            assert (base, credential) == (BASE, "csk_key")

        async def ask(
            self, method: str, path: str, kind: Any, body: Any = None, query: Any = None
        ) -> Any:
            asked.append((method, path))
            if method == "POST":
                assert body.title == "Smoke check"
                return kind.model_validate(conversation("n" * 26, body.title, "owner"))
            pages = {None: (OTHERS, "next"), "next": (mine, None)}
            found, cursor = pages[(query or {}).get("cursor")]
            return kind.model_validate({"conversations": found, "cursor": cursor})

    monkeypatch.setenv("CLOUDSCRIBE_API_KEY", "csk_key")
    monkeypatch.setattr(smoke_access, "Api", Api)

    assert (await speak(BASE, {})).verdict is Verdict.OK
    (place,) = spoken
    assert place is not None
    assert place.conversation_id == expected
    assert no_ticket not in {place.reading, place.speaking}
    assert [method for method, _ in asked] == ["GET", "GET", *([] if mine else ["POST"])]
    assert answers == CLOSED
