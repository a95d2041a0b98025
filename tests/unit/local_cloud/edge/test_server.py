"""What the edge decides about paths, headers and closes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.edge import server

pytestmark = pytest.mark.unit


@given(st.text(max_size=40).map(lambda text: f"/{text}"))
def test_no_path_leads_outside_the_page(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    dist = tmp_path_factory.getbasetemp() / "page"
    dist.mkdir(exist_ok=True)
    (dist / "index.html").touch()
    found = server.find_file(dist, path)
    assert found is None or found.is_relative_to(dist)


@pytest.mark.parametrize("path", ["/a/../b", "/%2E%2e/b", "/a/%2e", "/a%2f..%2fb", "/a/..%5Cb"])
def test_a_path_that_climbs_is_seen_in_every_spelling(path: str) -> None:
    assert server.has_dot_segments(path)


@pytest.mark.parametrize("path", ["/", "/a..b/c", "/...", "/.well-known/x", "/a/b.js"])
def test_dots_in_names_are_no_climbing(path: str) -> None:
    assert not server.has_dot_segments(path)


@pytest.mark.parametrize(
    ("code", "passed"), [(1000, 1000), (4429, 4429), (0, 1000), (1005, 1000), (1006, 1), (None, 1)]
)
def test_only_codes_that_may_be_sent_are_passed_on(code: int | None, passed: int) -> None:
    assert server.passed_close(code, lost=1) == passed


def test_a_request_loses_what_belongs_to_its_connection_and_gains_its_origin() -> None:
    headers = server.forwarded(
        {
            "Host": "localhost:8080",
            "Connection": "Upgrade, X-Private",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "k",
            "X-Private": "1",
            "X-Forwarded-For": "10.1.1.1",
            "x-cloudscribe-viewer": "10.1.1.1",
            "Cookie": "a=b",
        },
        "127.0.0.1",
    )
    assert dict(headers) == {
        "Host": "localhost:8080",
        "Cookie": "a=b",
        "X-Forwarded-For": "10.1.1.1, 127.0.0.1",
        "X-Forwarded-Proto": "http",
        "X-Cloudscribe-Viewer": "127.0.0.1",
    }
