"""Words for the settings that a program reads from its environment."""

from __future__ import annotations

import json

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from foundation.invalid import explain_each


def describe_settings(model: type[BaseModel]) -> str:
    """Return the help text: a line for each setting, with its default."""
    lines = ["environment variables:"]
    for name, field in model.model_fields.items():
        is_fixed = field.default_factory is None and not field.is_required()
        has_default = is_fixed and (bool(field.default) or field.default == 0)
        default = f" [{_as_given(field.default)}]" if has_default else ""
        lines.append(f"  {name.upper():20} {field.description or ''}{default}")
    return "\n".join(lines)


def explain_settings(error: ValueError) -> str:
    """Return a line for each environment variable that is wrong: `PORT: Input should be ...`.

    Args:
        error: a `ValidationError`, or the `SettingsError` of a value that is no JSON.
    """
    if not isinstance(error, ValidationError):
        return str(error)
    return "\n".join(explain_each(error, whole="settings", rename=str.upper))


def _as_given(value: object) -> str:
    """Return a default as one would write it in the environment; objects as complete JSON."""
    plain = to_jsonable_python(value)
    return json.dumps(plain) if isinstance(plain, dict) else str(plain)
