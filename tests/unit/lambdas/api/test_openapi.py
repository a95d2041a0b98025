"""The OpenAPI document says what the API's messages and routes say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from access import messages
from lambdas.api import openapi

pytestmark = pytest.mark.unit

#: A line of the table of `access.messages`: method, path, then what is taken and returned.
ROUTE = re.compile(r"^ {4}([A-Z]+) +(/\S*?)(?:\?\w+)? +(.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi.document()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path.removeprefix(messages.ROOT), operation


def name_of(content: dict[str, Any]) -> str:
    """Return the name of the schema of a body."""
    [body] = content.values()
    return str(body["schema"]["$ref"]).rpartition("/")[2]


def test_the_document_is_rendered_from_the_routes() -> None:
    assert openapi.DOCUMENT.read_text() == openapi.render(), (
        "docs/api.json is stale: run `make protocol`"
    )


def test_routes_take_and_return_what_the_messages_list(document: dict[str, Any]) -> None:
    def summarise(operation: dict[str, Any]) -> str:
        taken = operation.get("requestBody")
        [(status, answer)] = [
            each for each in operation["responses"].items() if each[0] != "default"
        ]
        returned = name_of(answer["content"]) if "content" in answer else ""
        shown = " ".join([status if status != "200" else "", returned]).strip()
        return f"{name_of(taken['content'])} -> {shown}" if taken else shown

    found = {
        (method, re.sub(r"{\w+}", "{}", path)): summarise(operation)
        for method, path, operation in operations(document)
    }
    listed = {
        (method, re.sub(r"{\w+}", "{}", path)): text
        for method, path, text in ROUTE.findall(messages.__doc__ or "")
    }

    assert found == listed


def test_every_refusal_is_a_problem(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        refusal = operation["responses"]["default"]["content"]
        assert list(refusal) == ["application/problem+json"]
        assert name_of(refusal) == "Problem"


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


def test_every_reference_leads_to_a_schema_and_every_schema_is_used(
    document: dict[str, Any],
) -> None:
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))

    assert referred == document["components"]["schemas"].keys()


def test_a_field_that_is_called_title_is_kept(document: dict[str, Any]) -> None:
    assert "title" in document["components"]["schemas"]["Conversation"]["properties"]
