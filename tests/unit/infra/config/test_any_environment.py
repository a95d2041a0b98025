"""A wrong value of every field of an environment has words of its own, all of them at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from infra.config.environment import Environment, WrongEnvironment
from infra.config.mistakes import describe
from infra.config.parts import ConfigPart
from tests.support.any_environment import (
    RIGHT,
    WRONG,
    Undescribed,
    all_parts,
    choices,
    leaves,
    values,
)
from tests.support.environments import environment

pytestmark = pytest.mark.unit

#: The first kind of each part that has several, and then each other kind once.
KINDS = [(path, kind) for path, kind in choices() if kind]
FIRST = dict(reversed(KINDS))
CHOICES = [FIRST, *({**FIRST, path: kind} for path, kind in KINDS if FIRST[path] != kind)]
#: Every field of every kind of a part, by its path.
LEAVES = {
    path: (chosen, value) for chosen in CHOICES for path, value in leaves(Environment, chosen)
}


def problems(written: Mapping[str, Any]) -> dict[str, str]:
    with pytest.raises(WrongEnvironment) as refused:
        environment().overridden(written)
    return dict(refused.value.problems)


def written(fields: Mapping[str, object], chosen: Mapping[str, str]) -> dict[str, Any]:
    """Return JSON with values at paths, and the kinds that were chosen."""
    tree: dict[str, Any] = {}
    for path, value in {
        **{f"{each}.kind": kind for each, kind in chosen.items()},
        **fields,
    }.items():
        *parents, name = path.split(".")
        here = tree
        for step in parents:
            here = here.setdefault(step, {})
        here[name] = value
    return tree


@pytest.mark.parametrize("chosen", CHOICES, ids=lambda chosen: "-".join(chosen.values()))
def test_wrong_values_of_all_fields_are_reported_at_once(chosen: dict[str, str]) -> None:
    wrong = dict(leaves(Environment, chosen))

    found = problems(written(wrong, chosen))

    assert {path for path in wrong if not _about(path, found)} == set()


@pytest.mark.parametrize("path", LEAVES)
def test_a_wrong_value_is_reported_under_its_own_path_in_our_words(path: str) -> None:
    chosen, value = LEAVES[path]

    found = problems(written({path: value}, chosen))

    assert _about(path, found)
    assert not re.search(r"[Ii]nput should|type=|pydantic", str(found))


@pytest.mark.parametrize("path", LEAVES)
@pytest.mark.parametrize("value", [object(), [[]], {"a": {}}], ids=["thing", "list", "object"])
def test_a_value_of_another_type_is_answered_with_what_to_give(path: str, value: object) -> None:
    chosen, _ = LEAVES[path]

    found = problems(written({path: value}, chosen))

    reported = _about(path, found)
    assert reported
    assert all(text.startswith("give ") for text in reported)


@pytest.mark.parametrize(
    "model",
    sorted(set(all_parts()), key=str),
    ids=lambda model: model.__name__,
)
def test_every_field_is_described_for_people(model: type[ConfigPart]) -> None:
    for known in model.model_fields.values():
        assert describe(known.annotation)


def test_a_field_without_a_line_in_the_tables_is_named() -> None:
    class Later(ConfigPart):
        depth: int

    with pytest.raises(Undescribed, match=r"give Later\.depth a line in RIGHT"):
        values(Later, "depth", {}, "depth")


def test_the_tables_have_no_line_of_a_field_that_is_gone() -> None:
    fields = {f"{part.__name__}.{field}" for part in all_parts() for field in part.model_fields}

    assert RIGHT.keys() | WRONG.keys() <= fields


def _about(path: str, found: Mapping[str, str]) -> list[str]:
    """Return what was reported of the field or, where it is a list or an object, what is in it."""
    return [
        text for each, text in found.items() if re.match(rf"{re.escape(path)}(?:[.\[]|$)", each)
    ]
