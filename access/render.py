"""Renders the messages of the API as one JSON Schema, from which the page's types are made.

    python -m access.render     JSON Schema, draft 2020-12, to stdout

`npm run protocol` writes them to `frontend/src/api.ts`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from access import messages
from transcripts.models import Model

MODELS: tuple[type[Model], ...] = tuple(
    each
    for each in vars(messages).values()
    if isinstance(each, type)
    and issubclass(each, Model)
    and each.__module__ == messages.__name__
    and each is not messages.Request
)


class _Untitled(GenerateJsonSchema):
    """A schema without titles of fields: one that repeats the name would become a type."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def schema() -> dict[str, Any]:
    """Return the schema; every message is found under `$defs`.

    Fields that have a default are optional, because an answer may omit them.
    """
    _, definitions = models_json_schema(
        [(model, "validation") for model in MODELS], schema_generator=_Untitled
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": messages.ROOT,
        "$defs": dict(sorted(definitions["$defs"].items())),
    }


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(schema(), indent=2)}\n")
