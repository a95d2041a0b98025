"""Which web pages may use a server."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from foundation.origins import ForeignPage, refuse_foreign_pages

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:8000"},
        {"Host": "LOCALHOST:8000", "Origin": "http://LOCALHOST:8000"},
        {"Host": "[::1]:8000", "Origin": "http://[::1]:8000"},
    ],
)
def test_programs_and_the_own_page_may_use_a_server_on_this_machine(
    headers: dict[str, str],
) -> None:
    refuse_foreign_pages(CIMultiDict(headers), loopback=True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "evil.example:8000"},
        {"Host": "localhost.evil.example"},
        {"Host": "localhost:8000", "Origin": "https://evil.example"},
        {"Host": "localhost:8000", "Origin": "null"},
        {"Host": "localhost:8000", "Origin": "http://localhost:9000"},
        {"Host": "["},
        {"Host": "localhost:8000", "Origin": "http://["},
    ],
)
def test_foreign_pages_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(ForeignPage):
        refuse_foreign_pages(CIMultiDict(headers), loopback=True)


@pytest.mark.parametrize(
    "headers", [{"Host": "["}, {"Host": "captions.example", "Origin": "http://["}]
)
def test_malformed_headers_are_refused_everywhere(headers: dict[str, str]) -> None:
    with pytest.raises(ForeignPage):
        refuse_foreign_pages(headers, loopback=False)


def test_an_operator_may_allow_further_origins() -> None:
    headers = {"Host": "captions.example", "Origin": "https://page.example"}

    refuse_foreign_pages(headers, loopback=False, allowed={"https://page.example"})
    with pytest.raises(ForeignPage):
        refuse_foreign_pages(headers, loopback=False, allowed={"http://page.example"})
