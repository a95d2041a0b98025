"""Which callers are authenticated."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from gpu_server.http.access import Authenticator
from gpu_server.problems import Forbidden, Unauthorized

pytestmark = pytest.mark.unit

SECRET = "correct horse battery"  # noqa: S105 - a test's


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", f"Bearer {SECRET}x", f"Bearer x{SECRET}", f"Token {SECRET}", SECRET],
)
def test_callers_without_the_secret_are_refused(header: str) -> None:
    authenticator = Authenticator(secret=SECRET, loopback=False)

    with pytest.raises(Unauthorized):
        authenticator.authenticate("/transcribe", Headers({"authorization": header}))


def test_callers_with_the_secret_are_authenticated_and_state_is_open_to_all() -> None:
    authenticator = Authenticator(secret=SECRET, loopback=False)

    authenticator.authenticate("/transcribe-s3", Headers({"authorization": f"bearer {SECRET}"}))
    authenticator.authenticate("/health", {})
    authenticator.authenticate("/metrics", {})


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(Authenticator(secret=SECRET, loopback=True))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8000"},
        {"host": ""},
        {"host": "localhost:8000", "origin": "https://evil.example"},
        {"host": "localhost:8000", "origin": "null"},
        {"host": "[", "origin": ""},
    ],
)
def test_without_a_secret_foreign_pages_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        Authenticator(secret=None, loopback=True).authenticate("/transcribe", Headers(headers))


def test_without_a_secret_programs_and_the_own_page_are_authenticated() -> None:
    authenticator = Authenticator(secret=None, loopback=True)

    authenticator.authenticate("/transcribe", Headers({"host": "127.0.0.1:8000"}))
    authenticator.authenticate(
        "/transcribe", Headers({"host": "[::1]:8000", "origin": "http://[::1]:8000"})
    )
