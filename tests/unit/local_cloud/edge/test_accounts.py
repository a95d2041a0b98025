"""Which requests the edge relays to the accounts, and what `/access.json` says."""

from __future__ import annotations

import json

import pytest

from access.messages import AccountAccess
from local_cloud.edge.accounts import EdgeAccounts, describe_access

pytestmark = pytest.mark.unit

KNOWN_TO_THE_EDGE = "edge-secret"
EDGE = EdgeAccounts(
    aws="http://127.0.0.1:4000",
    api_path="/_aws/execute-api/0a1b2c3d/$default",
    secret=KNOWN_TO_THE_EDGE,
    issuer="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_pool",
    page_client_id="page",
    program_client_id="program",
)


def test_the_api_gets_its_own_path_and_the_edges_secret() -> None:
    target = EDGE.find_target("PATCH", "/api/app/v1/conversations/abc")
    assert target is not None
    assert target.url == f"{EDGE.aws}{EDGE.api_path}/api/app/v1/conversations/abc"
    assert target.headers == {"X-Cloudscribe-Edge": "edge-secret"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/login"),  # a route of the page
        ("POST", "/"),
        ("POST", "/oauth2/authorize"),
        ("GET", "/oauth2/token"),
        ("GET", "/oauth2/userInfo"),
        ("GET", "/us-east-1_pool/.well-known/jwks.json"),
        ("GET", "/_ministack/health"),
        ("GET", "/api/stt/connect"),
        ("GET", "/api/app"),
        ("GET", "/api/app/v2/me"),
        ("GET", "/API/app/v1/me"),
    ],
)
def test_nothing_else_reaches_the_emulator(method: str, path: str) -> None:
    assert EDGE.find_target(method, path) is None


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/oauth2/authorize"), ("POST", "/login"), ("POST", "/oauth2/token")],
)
def test_the_sign_in_gets_no_secret(method: str, path: str) -> None:
    target = EDGE.find_target(method, path)
    assert target is not None
    assert target.url == f"{EDGE.aws}{path}"
    assert not target.headers


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:9000"])
def test_addresses_are_those_by_which_the_page_was_reached(host: str) -> None:
    access = AccountAccess.model_validate_json(describe_access(EDGE, host))
    assert access.authorization_endpoint == f"http://{host}/oauth2/authorize"
    assert access.token_endpoint == f"http://{host}/oauth2/token"
    assert access.issuer == EDGE.issuer
    assert "edge-secret" not in access.model_dump_json()


def test_without_accounts_everybody_may_do_everything() -> None:
    assert json.loads(describe_access(None, "localhost:8080")) == {"kind": "open"}


def test_the_secret_is_shown_in_no_description() -> None:
    assert "edge-secret" not in repr(EDGE)
    assert "edge-secret" not in repr(EDGE.find_target("GET", "/api/app/v1/me"))
