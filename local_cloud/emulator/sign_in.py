"""What ministack's Cognito lacks on the way of a sign-in, added as AWS has it.

    refreshed tokens      have the person's groups, as those of the first sign-in
    refresh tokens        are rotated: each use returns a new one, and the old one ends soon after
    disabled people       get no new tokens
    `/oauth2/revoke`      ends a refresh token
    the browser's session a second sign-in asks for no password, until `/logout`

This module imports nothing of the tree, because it runs in the emulator's process. It replaces
private functions of ministack, whose version is pinned. `test_emulator_sign_in.py` among the
integration tests checks every feature that the demo relies on.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: How long a refresh token lasts after it was used, seconds: a client may have lost the answer.
#: Cognito allows up to 60.
GRACE_SECONDS = 30.0
REVOKE_PATH = "/oauth2/revoke"
#: Paths on which a browser is: the session is read and written there.
SESSION_PATHS = ("/login", "/logout")
#: How long a browser's session lasts, seconds; so it is with Cognito.
SESSION_SECONDS = 3_600
SESSION_COOKIE = "cognito"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Response = tuple[int, dict[str, str], bytes]


def with_sign_in(application: Application, load: Callable[[], Any]) -> Application:
    """Wrap an ASGI application: mend its Cognito before the first request for tokens.

    `load` returns ministack's module. It takes a quarter of a second, which a demo without accounts
    does not have to wait for.
    """
    cognito: Any = None

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal cognito
        is_ours = scope["type"] == "http" and (
            scope["path"].startswith("/oauth2/") or scope["path"] in SESSION_PATHS
        )
        if is_ours and cognito is None:
            cognito = load()
            mend(cognito)
        if is_ours and scope["path"] == REVOKE_PATH and scope["method"] == "POST":
            await _send(send, answer_revocation(cognito, await _read_body(receive)))
        else:
            await application(scope, receive, send)

    return wrapper


async def _read_body(receive: Receive) -> bytes:
    body, is_more = b"", True
    while is_more:
        message = await receive()
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
    return body


async def _send(send: Send, response: Response) -> None:
    status, fields, body = response
    headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def mend(cognito: Any) -> None:
    """Replace the functions of ministack's module `cognito` that lack something."""
    cognito._fake_token = with_groups(cognito, cognito._fake_token)
    cognito._oauth2_token = with_rotation(cognito, cognito._oauth2_token)
    sessions = BrowserSessions(cognito)
    cognito.handle_login_submit = sessions.after_login(cognito.handle_login_submit)
    cognito.handle_oauth2_authorize = sessions.before_form(cognito.handle_oauth2_authorize)
    cognito.handle_logout = sessions.until_logout(cognito.handle_logout)


def with_groups(cognito: Any, make_token: Callable[..., str]) -> Callable[..., str]:
    """Return `make_token` with the person's groups in every access and identity token."""

    def make(
        sub: str, pool_id: str, client_id: str, token_type: str, *rest: Any, **more: Any
    ) -> str:
        is_refreshed = more.get("trigger_source") == "TokenGeneration_RefreshTokens"
        if is_refreshed and not more.get("groups") and token_type in {"access", "id"}:
            more["groups"] = _find_user(cognito, pool_id, more.get("username", "")).get("_groups")
        return make_token(sub, pool_id, client_id, token_type, *rest, **more)

    return make


def with_rotation(cognito: Any, exchange: Callable[..., Response]) -> Callable[..., Response]:
    """Return the token endpoint `exchange` with rotation, closed to disabled people."""

    def exchange_and_rotate(
        data: Any, query: Any, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        form = read_form(body)
        token = form.get("refresh_token", "")
        entry = cognito._refresh_tokens.get(token)
        if form.get("grant_type") != "refresh_token" or entry is None:
            return exchange(data, query, body, headers)
        user = _find_user(cognito, entry["pool_id"], entry["username"])
        if entry.get("ends_at", float("inf")) <= time.time():
            # Without the second line it would be taken for a token of another kind, and accepted.
            del cognito._refresh_tokens[token]
            cognito._revoked_tokens.add(token)
            return _answer(400, {"error": "invalid_grant"})
        is_clients = form.get("client_id", entry["client_id"]) == entry["client_id"]
        if not is_clients or not user.get("Enabled", True):
            return _answer(400, {"error": "invalid_grant"})
        status, fields, answer = exchange(data, query, body, headers)
        if status != 200:  # noqa: PLR2004 - HTTP's
            return status, fields, answer
        claims = cognito._token_claims(token)
        fresh = cognito._fake_token(
            *(claims["sub"], entry["pool_id"], entry["client_id"], "refresh"),
            origin_jti=claims.get("origin_jti", ""),
            scope=claims.get("scope"),
        )
        unused = {name: value for name, value in entry.items() if name != "ends_at"}
        cognito._refresh_tokens[fresh] = unused
        entry.setdefault("ends_at", time.time() + GRACE_SECONDS)
        return _answer(200, json.loads(answer) | {"refresh_token": fresh})

    return exchange_and_rotate


@dataclass(frozen=True, slots=True)
class _Session:
    pool_id: str
    username: str
    ends_at: float


class BrowserSessions:
    """The sessions of browsers at the pool's pages: a cookie stands for a password for an hour."""

    def __init__(self, cognito: Any) -> None:
        self._cognito = cognito
        self._sessions: dict[str, _Session] = {}

    def after_login(self, login: Callable[..., Response]) -> Callable[..., Response]:
        """Return the handler of the form, which begins a session where the password was right."""

        def handle(*request: Any) -> Response:
            status, fields, body = login(*request)
            query = parse_qs(urlsplit(fields.get("Location", "")).query)
            issued = self._cognito._authorization_codes.get(query.get("code", [""])[0])
            if issued is None:
                return status, fields, body
            now, token = time.time(), secrets.token_urlsafe(32)
            valid = {key: each for key, each in self._sessions.items() if each.ends_at > now}
            new = _Session(issued["pool_id"], issued["username"], now + SESSION_SECONDS)
            self._sessions = valid | {token: new}
            return status, fields | _set_cookie(token, SESSION_SECONDS), body

        return handle

    def before_form(self, authorize: Callable[..., Response]) -> Callable[..., Response]:
        """Return the handler of `/oauth2/authorize`, which shows no form during a session."""

        def handle(
            method: str, path: str, headers: Mapping[str, str], query: Mapping[str, Any]
        ) -> Response:
            answer = authorize(method, path, headers, query)
            session = self._sessions.get(_read_cookie(headers))
            # Any other answer refuses the request.
            if answer[0] != 200 or session is None or session.ends_at <= time.time():  # noqa: PLR2004 - HTTP's
                return answer
            read = self._cognito._qp
            pool_id = self._cognito._find_pool_by_client_id(read(query, "client_id"))[0]
            user = _find_user(self._cognito, pool_id, session.username)
            if pool_id != session.pool_id or not user or not user.get("Enabled", True):
                return answer
            redirect: Response = self._cognito._issue_auth_code_redirect(
                *(read(query, "client_id"), pool_id, read(query, "redirect_uri")),
                *(read(query, "scope"), session.username, read(query, "nonce")),
                *(read(query, "code_challenge"), read(query, "code_challenge_method")),
                read(query, "state"),
            )
            return redirect

        return handle

    def until_logout(self, logout: Callable[..., Response]) -> Callable[..., Response]:
        """Return the handler of `/logout`, which ends the session."""

        def handle(method: str, path: str, headers: Mapping[str, str], query: Any) -> Response:
            status, fields, body = logout(method, path, headers, query)
            if status != 302:  # noqa: PLR2004 - HTTP's
                return status, fields, body
            self._sessions.pop(_read_cookie(headers), None)
            return status, fields | _set_cookie("", 0), body

        return handle


def _set_cookie(token: str, seconds: int) -> dict[str, str]:
    rest = f"Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax"
    return {"Set-Cookie": f"{SESSION_COOKIE}={token}; {rest}"}


def _read_cookie(headers: Mapping[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(SESSION_COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def answer_revocation(cognito: Any, body: bytes) -> Response:
    """Answer a request to `/oauth2/revoke` (RFC 7009): a token that is not known is no error."""
    form = read_form(body)
    if not form.get("token"):
        return _answer(400, {"error": "invalid_request"})
    revoke(cognito, form["token"])
    return 200, {}, b""


def revoke(cognito: Any, token: str) -> None:
    """End a refresh token, and those that it was exchanged for."""
    origin = cognito._token_claims(token).get("origin_jti")
    for other in list(cognito._refresh_tokens):
        if origin and cognito._token_claims(other).get("origin_jti") == origin:
            cognito._revoke_token({"Token": other})
    cognito._revoke_token({"Token": token})


def read_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form; of a repeated one the first."""
    parsed = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True)
    return {name: values[0] for name, values in parsed.items()}


def _find_user(cognito: Any, pool_id: str, username: str) -> dict[str, Any]:
    pool = cognito._get_pool_unscoped(pool_id) or {}
    found: dict[str, Any] = pool.get("_users", {}).get(username, {})
    return found


def _answer(status: int, document: Mapping[str, Any]) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()
