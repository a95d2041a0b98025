"""What is added to ministack's Cognito, on a stand-in for its module."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from local_cloud.emulator import sign_in

pytestmark = pytest.mark.unit

RIGHT = "right"


class Cognito:
    """The part of ministack's module that is used."""

    def __init__(self) -> None:
        self._refresh_tokens: dict[str, dict[str, Any]] = {}
        self._revoked_tokens: set[str] = set()
        self.users: dict[str, dict[str, Any]] = {"ada": {"_groups": ["admins"]}}
        self.made = 0
        self._authorization_codes: dict[str, dict[str, Any]] = {}

    def handle_login_submit(self, *request: Any) -> sign_in.Response:
        form = sign_in.read_form(request[3])
        if form.get("password") != RIGHT:
            return 200, {}, b"the form"
        return self._issue_auth_code_redirect("page", "pool", "back", "", form["username"])

    def handle_oauth2_authorize(self, *request: Any) -> sign_in.Response:
        return (200 if request[3]["client_id"] == "page" else 400), {}, b"the form"

    def handle_logout(self, *request: Any) -> sign_in.Response:
        return (302 if request[3]["logout_uri"] == "back" else 400), {}, b""

    def _issue_auth_code_redirect(
        self, client: str, pool: str, redirect: str, _scope: str, username: str, *_rest: str
    ) -> sign_in.Response:
        self.made += 1
        code = f"code-{self.made}"
        self._authorization_codes[code] = {
            "client_id": client,
            "pool_id": pool,
            "username": username,
        }
        return 302, {"Location": f"{redirect}?code={code}"}, b""

    def _find_pool_by_client_id(self, _client: str) -> tuple[str, Any, Any]:
        return "pool", {}, {}

    def _qp(self, query: dict[str, str], name: str) -> str:
        return query.get(name, "")

    def _fake_token(self, _sub: str, _pool: str, _client: str, token_type: str, **more: Any) -> str:
        self.made += 1
        return f"{token_type}-{self.made}-{','.join(more.get('groups') or [])}"

    def _oauth2_token(self, _data: Any, _query: Any, body: bytes, _headers: Any) -> Any:
        form = sign_in.read_form(body)
        if form.get("refresh_token") in self._revoked_tokens:
            return 400, {}, b"{}"
        token = self._fake_token(
            *("sub", "pool", "page", "access"),
            username="ada",
            trigger_source="TokenGeneration_RefreshTokens",
        )
        return 200, {}, json.dumps({"access_token": token}).encode()

    def _get_pool_unscoped(self, _pool_id: str) -> dict[str, Any]:
        return {"_users": self.users}

    def _token_claims(self, token: str) -> dict[str, Any]:
        return {"sub": "sub", "origin_jti": "origin"} if token in self._refresh_tokens else {}

    def _revoke_token(self, data: dict[str, str]) -> None:
        self._revoked_tokens.add(data["Token"])
        self._refresh_tokens.pop(data["Token"], None)


@pytest.fixture
def cognito() -> Cognito:
    made = Cognito()
    made._refresh_tokens["old"] = {"pool_id": "pool", "client_id": "page", "username": "ada"}
    sign_in.mend(made)
    return made


def refresh(cognito: Cognito, used: str = "old", **form: str) -> tuple[int, dict[str, Any]]:
    body = urlencode({"grant_type": "refresh_token", "refresh_token": used, **form}).encode()
    status, _, answer = cognito._oauth2_token({}, {}, body, {})
    return status, json.loads(answer)


def test_a_refreshed_token_has_the_groups_and_a_successor(cognito: Cognito) -> None:
    status, answer = refresh(cognito)
    assert status == 200
    assert answer["access_token"].endswith("-admins")
    assert answer["refresh_token"] in cognito._refresh_tokens


def test_a_used_token_is_over_after_its_grace_and_its_successor_is_not(
    cognito: Cognito, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, answer = refresh(cognito)
    assert refresh(cognito)[0] == 200
    later = time.time() + sign_in.GRACE_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert refresh(cognito)[0] == 400
    assert refresh(cognito)[0] == 400
    assert refresh(cognito, answer["refresh_token"])[0] == 200


def test_using_a_token_again_does_not_prolong_its_grace(
    cognito: Cognito, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(cognito)
    ends_at = cognito._refresh_tokens["old"]["ends_at"]
    soon = time.time() + sign_in.GRACE_SECONDS / 2
    monkeypatch.setattr(time, "time", lambda: soon)
    assert refresh(cognito)[0] == 200
    assert cognito._refresh_tokens["old"]["ends_at"] == ends_at


def test_a_disabled_person_and_another_client_get_none(cognito: Cognito) -> None:
    assert refresh(cognito, client_id="other")[0] == 400
    cognito.users["ada"]["Enabled"] = False
    assert refresh(cognito) == (400, {"error": "invalid_grant"})


def test_a_revocation_ends_the_whole_family_and_an_unknown_token_is_no_error(
    cognito: Cognito,
) -> None:
    _, answer = refresh(cognito)
    body = urlencode({"token": answer["refresh_token"]}).encode()
    assert sign_in.answer_revocation(cognito, body)[0] == 200
    assert cognito._refresh_tokens == {}
    assert refresh(cognito)[0] == 400
    assert sign_in.answer_revocation(cognito, b"token=unknown")[0] == 200
    assert sign_in.answer_revocation(cognito, b"")[0] == 400


async def test_the_module_is_loaded_by_the_first_request_for_tokens_only(cognito: Cognito) -> None:
    loaded, passed, sent = [], [], []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        passed.append(scope["path"])

    def load() -> Cognito:
        loaded.append(1)
        return cognito

    async def receive() -> dict[str, Any]:
        return {"body": b"token=old", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    ask: Callable[..., Awaitable[None]] = sign_in.with_sign_in(application, load)
    await ask({"type": "lifespan"} | {"path": ""}, receive, send)
    await ask({"type": "http", "method": "POST", "path": "/"}, receive, send)
    assert not loaded
    await ask({"type": "http", "method": "POST", "path": "/oauth2/token"}, receive, send)
    await ask({"type": "http", "method": "POST", "path": "/oauth2/revoke"}, receive, send)
    assert loaded == [1]
    assert passed == ["", "/", "/oauth2/token"]
    assert sent[0]["status"] == 200


def log_in(cognito: Cognito, *, typed: str = RIGHT) -> sign_in.Response:
    body = urlencode({"username": "ada", "password": typed}).encode()
    return cognito.handle_login_submit("POST", "/login", {}, body, {})


def authorize(cognito: Cognito, cookie: str, *, client: str = "page") -> sign_in.Response:
    query = {"client_id": client, "redirect_uri": "back"}
    return cognito.handle_oauth2_authorize("GET", "/oauth2/authorize", {"cookie": cookie}, query)


def cookie_of(answer: sign_in.Response) -> str:
    return answer[1]["Set-Cookie"].partition(";")[0]


def test_a_browser_that_has_signed_in_is_asked_for_no_password(cognito: Cognito) -> None:
    answer = log_in(cognito)
    assert {"HttpOnly", "SameSite=Lax"} < set(answer[1]["Set-Cookie"].split("; "))
    status, fields, _ = authorize(cognito, cookie_of(answer))
    assert status == 302
    code = fields["Location"].partition("code=")[2]
    assert cognito._authorization_codes[code]["username"] == "ada"
    assert authorize(cognito, cookie_of(answer), client="other")[0] == 400


@pytest.mark.parametrize("cookie", ["", "cognito=", "cognito=guessed", "cognito=\x00;;=="])
def test_a_browser_without_a_session_sees_the_form(cognito: Cognito, cookie: str) -> None:
    log_in(cognito)
    assert authorize(cognito, cookie)[0] == 200


def test_a_wrong_password_begins_no_session(cognito: Cognito) -> None:
    assert "Set-Cookie" not in log_in(cognito, typed="wrong")[1]


def test_a_session_ends_with_logout_and_after_its_time(
    cognito: Cognito, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = cookie_of(log_in(cognito))
    for address, remains in (("elsewhere", True), ("back", False)):
        answer = cognito.handle_logout(
            "GET", "/logout", {"cookie": cookie}, {"logout_uri": address}
        )
        assert ("Set-Cookie" in answer[1]) is not remains
        assert (authorize(cognito, cookie)[0] == 302) is remains
    cookie = cookie_of(log_in(cognito))
    late = time.time() + sign_in.SESSION_SECONDS
    monkeypatch.setattr(time, "time", lambda: late)
    assert authorize(cognito, cookie)[0] == 200


def test_a_disabled_person_has_no_session(cognito: Cognito) -> None:
    cookie = cookie_of(log_in(cognito))
    cognito.users["ada"]["Enabled"] = False
    assert authorize(cognito, cookie)[0] == 200
    del cognito.users["ada"]
    assert authorize(cognito, cookie)[0] == 200
