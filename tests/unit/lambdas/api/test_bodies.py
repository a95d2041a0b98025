"""Bodies that cannot be read are refused; none makes the function fail."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lambdas.api.bodies import MOST_BYTES, refuse_body

pytestmark = pytest.mark.unit


def request(body: str | None, kind: str = "application/json", **more: Any) -> dict[str, Any]:
    return {"headers": {"content-type": kind}, "body": body, **more}


def encoded(body: str, charset: str = "utf-8") -> str:
    return base64.b64encode(body.encode(charset, errors="surrogatepass")).decode()


@pytest.mark.parametrize(
    "event",
    [
        request(None),
        request(""),
        {"headers": {}},
        request('{"title": "ä"}', "Application/JSON; charset=utf-8"),
        request(base64.b64encode(b'{"title": "a"}').decode(), isBase64Encoded=True),
        request(f'"{"a" * (MOST_BYTES - 2)}"'),
        request(encoded(f'"{"ä" * (MOST_BYTES // 2 - 1)}"'), isBase64Encoded=True),
    ],
)
def test_json_and_nothing_can_be_read(event: dict[str, Any]) -> None:
    assert refuse_body(event) is None


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (request("[" * MOST_BYTES), 422),
        (request("9" * 5_000), 422),
        (request("{"), 422),
        (request("=", isBase64Encoded=True), 422),
        (request(base64.b64encode(b'{"title": "\xff"}').decode(), isBase64Encoded=True), 422),
        (request(encoded('"a"', "utf-16"), isBase64Encoded=True), 422),
        (request(encoded('"a"', "utf-32"), isBase64Encoded=True), 422),
        (request(encoded('"\ud800"'), isBase64Encoded=True), 422),
        (request("\ud800"), 422),
        (request("x", "multipart/form-data"), 415),
        ({"headers": {}, "body": "{}"}, 415),
        (request(f'"{"a" * MOST_BYTES}"'), 413),
        (request(f'"{"ä" * (MOST_BYTES // 2)}"'), 413),
        (request(encoded("a" * (MOST_BYTES + 2)), isBase64Encoded=True), 413),
    ],
)
def test_other_bodies_are_refused_by_name(event: dict[str, Any], status: int) -> None:
    refusal = refuse_body(event)

    assert refusal is not None
    assert refusal.problem.status == status
