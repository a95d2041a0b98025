"""The API's function: its environment, the secret of the edge, the issuer's keys, and its logs."""

from __future__ import annotations

import importlib
import io
import json
import logging
import sys
import urllib.request
from collections.abc import Iterator
from email.message import Message
from types import ModuleType
from typing import Any
from urllib.response import addinfourl

import boto3
import pytest
from moto import mock_aws
from pydantic import ValidationError

from access.messages import ROOT
from tests.support.access import CLIENT, ISSUER
from tests.support.tables import access_table_definition

pytestmark = pytest.mark.unit

HANDLER = "lambdas.api.handler"
EDGE = "the secret between CloudFront and this function"
KEYS = "https://issuer.test/pool/keys"
ENVIRONMENT = {
    "ACCESS_TABLE": "access",
    "ISSUER": ISSUER,
    "JWKS_URL": KEYS,
    "TOKEN_KIND": "cognito",
    "AUDIENCES": f"another,{CLIENT}",
    "TICKET_KEYS": "/cloudscribe/test/ticket-keys",
    "RECORDINGS_BUCKET": "recordings",
    "EDGE_SECRET": EDGE,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_METRICS_NAMESPACE": "Test",
}


class Context:
    """What Lambda reports of an invocation."""

    function_name = "api"
    memory_limit_in_mb = 1_024
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:api:live"
    aws_request_id = "request"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def handler(environment: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module after a cold start, with its table in moto."""
    with mock_aws():
        boto3.client("dynamodb").create_table(**access_table_definition("access"))
        yield start(environment)
    sys.modules.pop(HANDLER, None)


def start(patch: pytest.MonkeyPatch, **variables: str) -> ModuleType:
    for name, value in variables.items():
        patch.setenv(name, value)
    sys.modules.pop(HANDLER, None)
    return importlib.import_module(HANDLER)


def ask(handler: ModuleType, path: str = "/me", **event: Any) -> tuple[int, Any]:
    """Return the status and the body of the answer to a request that came through the edge."""
    given: dict[str, Any] = {
        "version": "2.0",
        "rawPath": f"{ROOT}{path}",
        "rawQueryString": "",
        "headers": {"x-cloudscribe-edge": EDGE},
        "requestContext": {
            "http": {"method": "GET", "path": f"{ROOT}{path}", "sourceIp": "192.0.2.1"},
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    found = handler.handler(given | event, Context())
    return found["statusCode"], json.loads(found["body"])


def forbid_reading(handler: ModuleType, patch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        pytest.fail("something was read")

    patch.setattr(handler.app, "resolve", read)


# --- the edge -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [{}, {"x-cloudscribe-edge": ""}, {"x-cloudscribe-edge": EDGE[:-1]}]
)
def test_what_did_not_come_through_the_edge_is_refused_before_anything_is_read(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch, sent: dict[str, str]
) -> None:
    forbid_reading(handler, monkeypatch)

    status, body = ask(handler, headers={**sent, "authorization": "Bearer x"}, body="{")

    assert (status, body["reason"]) == (403, "not_the_edge")
    assert EDGE not in json.dumps(body)


def test_what_came_through_the_edge_is_answered(handler: ModuleType) -> None:
    status, body = ask(handler)

    assert (status, body["reason"]) == (401, "not_signed_in")


def test_without_a_secret_every_way_counts(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("EDGE_SECRET")

    status, body = ask(start(environment), headers={})

    assert (status, body["reason"]) == (401, "not_signed_in")


def test_a_body_that_is_too_long_is_refused_before_it_is_parsed(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_reading(handler, monkeypatch)

    status, body = ask(handler, "/conversations", body="x" * 16_385)

    assert (status, body["reason"]) == (413, "too_long")


# --- the environment ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWKS_URL", "http://issuer.test/keys"),
        ("JWKS_URL", "http://127.0.0.1.issuer.test/keys"),
        ("JWKS_URL", "file:///keys"),
        ("TOKEN_KIND", "saml"),
        ("TICKET_KEYS", "/ends/with/a/slash/"),
        ("EDGE_SECRET", "guessable"),
    ],
)
def test_a_wrong_environment_fails_the_cold_start_without_quoting_it(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError) as failed:
        start(environment, **{name: value})

    assert name in str(failed.value)
    assert value not in str(failed.value)


def test_the_issuer_of_one_machine_may_do_without_https(environment: pytest.MonkeyPatch) -> None:
    module = start(environment, JWKS_URL="http://127.0.0.1:4566/keys")

    assert module.settings.keys_url == "http://127.0.0.1:4566/keys"


def test_the_pools_client_is_made_for_the_first_request_that_needs_it(
    environment: pytest.MonkeyPatch,
) -> None:
    module = start(environment, USER_POOL_ID="us-east-1_pool")
    made = module._client.cache_info().currsize

    clients = [module._connect_to_pool() for _ in range(2)]

    assert clients[0] is clients[1]
    assert clients[0].meta.service_model.service_name == "cognito-idp"
    assert module._client.cache_info().currsize == made + 1


# --- the issuer's keys --------------------------------------------------------------------


class Issuer(urllib.request.BaseHandler):
    """Answers instead of the network, and remembers what it was asked."""

    handler_order = 100  # before the one that connects

    def __init__(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.answer = (status, body, headers)
        self.asked: list[tuple[str, float | None]] = []

    def https_open(self, request: urllib.request.Request) -> Any:
        self.asked.append((request.full_url, request.timeout))
        status, body, given = self.answer
        headers = Message()
        for name, value in given.items():
            headers[name] = value
        answer = addinfourl(io.BytesIO(body), headers, request.full_url, status)
        answer.msg = "OK"  # type: ignore[attr-defined]  # as http.client's answers have it
        return answer


def test_keys_are_fetched_with_a_time_and_a_size(handler: ModuleType) -> None:
    issuer = Issuer(200, b"x" * 100_000)
    handler._issuer.add_handler(issuer)

    found = handler._fetch_keys()

    assert issuer.asked == [(KEYS, 2.0)]
    assert len(found) == 65_537  # one more than may be read, so that more is noticed


@pytest.mark.parametrize("target", ["http://issuer.test/keys", "https://elsewhere.test/keys"])
def test_a_redirect_of_the_issuer_is_not_followed(handler: ModuleType, target: str) -> None:
    issuer = Issuer(302, Location=target)
    handler._issuer.add_handler(issuer)

    with pytest.raises(OSError, match="302"):
        handler._fetch_keys()

    assert [url for url, _ in issuer.asked] == [KEYS]


# --- logs ---------------------------------------------------------------------------------


def test_nothing_secret_is_logged_or_printed(
    handler: ModuleType, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "lambdas")
    handler._issuer.add_handler(Issuer(500))
    credentials = (f"csk_{'k' * 26}_{'s' * 26}", f"csl_{'l' * 26}_{'t' * 26}", "eyJh.eyJz.signed")

    for credential in credentials:
        headers = {"x-cloudscribe-edge": EDGE, "authorization": f"Bearer {credential}"}
        ask(handler, headers=headers)
        ask(handler, "/conversations", headers=headers, body='{"title": "Layoffs"}')
        ask(handler, headers={**headers, "x-cloudscribe-edge": "guessed"})

    printed = capsys.readouterr()
    seen = caplog.text + printed.out + printed.err
    assert "ApiRefusals" in seen  # the metric, so the output was captured
    for secret in (EDGE, "guessed", "Layoffs", *credentials, *("k" * 26, "s" * 26, "t" * 26)):
        assert secret not in seen
