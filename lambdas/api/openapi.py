"""Renders the OpenAPI document of the accounts API: `python -m lambdas.api.openapi`, to stdout.

Powertools describes the routes of `lambdas.api.routes`. This module corrects what Powertools cannot
know: every refusal is a problem (RFC 9457), callers send a bearer credential, and operations have
the names of their functions. `make protocol` writes the document to docs/api.json; a test compares
both. The function itself never renders it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, cast

from access.messages import Problem
from lambdas.api.conversations import Conversations
from lambdas.api.identity import Identification
from lambdas.api.people import People
from lambdas.api.recordings import Recordings
from lambdas.api.routes import make_app

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "api.json"
#: Powertools' own schemas of refusals, which this API does not send.
_FOREIGN: Final = ("HTTPValidationError", "ResponseValidationError", "ValidationError")
_NO_CONTENT: Final = "204"

Document = dict[str, Any]


def document() -> Document:
    """Return the OpenAPI 3.1 document."""
    # Routes are described without being called, so they need no table and no issuer.
    app = make_app(
        cast("Identification", None),
        cast("Conversations", None),
        cast("People", None),
        cast("Recordings", None),
    )
    made: Document = json.loads(
        app.get_openapi_json_schema(
            title="Cloudscribe accounts API",
            version="1",
            description="Conversations, share links, tickets, API keys, people and recordings. "
            "docs/access.md has the reasons.",
        )
    )
    schemas = made["components"]["schemas"]
    for name in _FOREIGN:
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema(by_alias=True)
    for methods in made["paths"].values():
        for operation in methods.values():
            _correct(operation)
    made["components"] = {
        "schemas": {name: _without_titles(schemas[name]) for name in sorted(schemas)},
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An access token, an API key `csk_...` or, for tickets alone, the "
                "secret of a share link `csl_...`.",
            }
        },
    }
    made["security"] = [{"bearer": []}]
    made["paths"] = dict(sorted(made["paths"].items()))
    return made


def _correct(operation: Document) -> None:
    """Give an operation its name and its answers."""
    operation["operationId"] = operation["operationId"].partition("_api_app_")[0]
    operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_titles(parameter["schema"])
    [(status, success)] = [
        (status, answer) for status, answer in operation["responses"].items() if status[0] == "2"
    ]
    if status == _NO_CONTENT:
        success = {"description": success["description"]}
    reference = {"$ref": "#/components/schemas/Problem"}
    operation["responses"] = {
        status: success,
        "default": {
            "description": "A refusal",
            "content": {"application/problem+json": {"schema": reference}},
        },
    }


def _without_titles(schema: Any) -> Any:
    """Return a schema without the titles that repeat names: generated code makes types of them."""
    if isinstance(schema, list):
        return [_without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    # A property may be called `title`: it is no text but a schema.
    return {
        name: _without_titles(value)
        for name, value in schema.items()
        if not (name == "title" and isinstance(value, str))
    }


def render() -> str:
    """Return the text of docs/api.json."""
    return f"{json.dumps(document(), indent=2)}\n"


if __name__ == "__main__":
    sys.stdout.write(render())
