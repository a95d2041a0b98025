"""The base of an environment's parts: frozen values that report their own problems.

A rule about one field is a `Check` in the field's type:

    idle_minutes: Annotated[int, within(1, 720, " minutes")] = 10

Rules about several fields are in the part's method `problems`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

#: A field's path, and a message for people.
Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """A rule about the values of a field other than None."""

    accepts: Callable[[Any], object]
    #: The problem in words; `{}` stands for the value.
    problem: str


def within(least: float, most: float, unit: str = "") -> Check:
    """Return the rule that a number is from `least` to `most`."""
    return Check(lambda value: least <= value <= most, f"give {least} to {most}{unit}")


def at_least(least: float, unit: str = "") -> Check:
    """Return the rule that a number is `least` or more."""
    return Check(lambda value: value >= least, f"give at least {least}{unit}")


class ConfigPart(BaseModel):
    """A part of an environment: frozen, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Return the values of its field `kind`, `("",)` without one."""
        kind = cls.model_fields.get("kind")
        return ("",) if kind is None else get_args(kind.annotation)

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of this part and of the parts in it."""
        for name, known in type(self).model_fields.items():
            value = getattr(self, name)
            for check in known.metadata:
                if isinstance(check, Check) and value is not None and not check.accepts(value):
                    yield name, check.problem.format(value)
            for path, part in _parts(name, value):
                for field, text in part.problems():
                    yield f"{path}.{field}" if field else path, text


def _parts(name: str, value: object) -> Iterator[tuple[str, ConfigPart]]:
    if isinstance(value, ConfigPart):
        yield name, value
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _parts(f"{name}[{number}]", item)
