"""What a client makes of messages, also of a service that is newer than it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client.errors import ConnectionLost, Refused
from client.live.connection import _parse

pytestmark = pytest.mark.unit

ERROR: dict[str, Any] = {"type": "error", "code": "too_tired", "message": "Zzz.", "retryable": True}


@pytest.mark.parametrize(
    ("retryable", "advice"), [(True, "Try again in 2 s."), (False, "Trying again will not help.")]
)
def test_an_error_that_only_a_newer_service_knows_is_a_refusal(
    advice: str, *, retryable: bool
) -> None:
    with pytest.raises(Refused) as caught:
        _parse(json.dumps(ERROR | {"retryable": retryable, "retryAfter": 2.0}))

    assert caught.value.retryable is retryable
    assert str(caught.value) == f"too_tired: Zzz. {advice}"


def test_a_message_that_only_a_newer_service_knows_is_passed_over() -> None:
    assert _parse('{"type": "applause"}') is None


@pytest.mark.parametrize(
    "text", ["hello", "{}", "[]", json.dumps(ERROR | {"code": 5}), '{"type": "error"}']
)
def test_what_is_no_message_ends_the_connection(text: str) -> None:
    with pytest.raises(ConnectionLost):
        _parse(text)
