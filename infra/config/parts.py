"""What environments are made of: frozen values, each of which yields what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

#: A field's path and what is wrong with it, for people.
Problem = tuple[str, str]


class Part(BaseModel):
    """A part of an environment: frozen, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with this part and with the parts in it."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for path, part in _parts(name, value):
                for field, text in part.problems():
                    yield f"{path}.{field}" if field else path, text


def _parts(name: str, value: object) -> Iterator[tuple[str, Part]]:
    if isinstance(value, Part):
        yield name, value
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _parts(f"{name}[{number}]", item)
