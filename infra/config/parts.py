"""The base of an environment's parts: frozen values that report their own problems."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

#: A field's path, and a message for people.
Problem = tuple[str, str]


class ConfigPart(BaseModel):
    """A part of an environment: frozen, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of this part and of the parts in it."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for path, part in _parts(name, value):
                for field, text in part.problems():
                    yield f"{path}.{field}" if field else path, text


def _parts(name: str, value: object) -> Iterator[tuple[str, ConfigPart]]:
    if isinstance(value, ConfigPart):
        yield name, value
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _parts(f"{name}[{number}]", item)
