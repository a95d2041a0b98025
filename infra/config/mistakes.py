"""Messages about values of the wrong type, each with its path and what to give instead.

pydantic finds such values, but describes them for programmers: by its own names of types, and at
locations that contain the tag of every union. Messages quote no values, because many people can
read a log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.config.parts import ConfigPart
from infra.wording import join_alternatives, suggest

#: The description of a plain type, and a stand-in value of it.
_PLAIN: Final[Mapping[object, tuple[str, object]]] = {
    bool: ("true or false", False),
    int: ("a whole number", 0),
    float: ("a number", 0.0),
    str: ("a text", ""),
    type(None): ("null", None),
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One value of a type that its field does not take."""

    #: In people's notation, such as `gpu.instance_types[0]`.
    path: str
    text: str
    #: The names of the fields that lead to the value, such as `gpu`, `instance_types`.
    field: tuple[str, ...]
    #: The wrong entry of a list or an object in that field; None: the field itself is wrong.
    entry: str | int | None = None


def covers(replaced: str, path: str) -> bool:
    """Return whether `path` is the replaced path or below it."""
    return path.startswith(replaced) and path[len(replaced) :][:1] in {"", ".", "["}


def mistakes(error: ValidationError, model: type[ConfigPart]) -> list[Mistake]:
    """Return the values of wrong types that `error` reports for `model`."""
    details = error.errors(include_url=False, include_input=False)
    return [_mistake(model, each) for each in details if each["type"] != "value_error"]


def without(
    found: Iterable[Mistake],
    values: Mapping[str, Any],
    *,
    model: type[ConfigPart],
    right: Mapping[str, Any],
) -> tuple[dict[str, Any], list[str]]:
    """Return `values` with stand-ins in place of mistakes, and the paths of the stand-ins.

    The other values can then be checked. In an object or a list only the wrong entry is replaced.

    Args:
        found: the mistakes in the values.
        values: unvalidated values.
        model: the type of the values.
        right: valid values of the same type. A field that they lack gets its default, or else an
            empty value of its type.
    """
    repaired = deepcopy(dict(values))
    wrong: dict[tuple[str, ...], list[str | int | None]] = {}
    for mistake in found:
        wrong.setdefault(mistake.field, []).append(mistake.entry)
    replaced = []
    for field, entries in wrong.items():
        known_wrong = [each for each in entries if each is not None]
        if len(known_wrong) == len(entries) and _replace_entries(repaired, field, known_wrong):
            replaced += [_entry_path(".".join(field), each) for each in known_wrong]
        else:
            _replace(repaired, field, model, right)
            replaced.append(".".join(field))
    return repaired, replaced


def describe(annotation: object) -> str:
    """Return a type's description, such as `a whole number or null`."""
    return " or ".join(dict.fromkeys(_describe_one(each) for each in _members(annotation)))


def _describe_one(annotation: object) -> str:
    if annotation in _PLAIN:
        return _PLAIN[annotation][0]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return join_alternatives(arguments)
    if origin is tuple:
        return f"a list, each item {describe(arguments[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"an object, each value {describe(arguments[1])}"
    return "an object"


def _mistake(model: type[ConfigPart], error: ErrorDetails) -> Mistake:
    """Follow the error's location through the types of the model."""
    path = ""
    field: tuple[str, ...] = ()
    entry: str | int | None = None
    owner, here = model, model  # type: type[ConfigPart], object
    for step in error["loc"]:
        parts = _parts(here)
        if len(parts) > 1:  # a union's tag, which is not in the file
            here = parts.get(str(step))
        elif parts:
            (owner,) = parts.values()
            known = owner.model_fields.get(str(step))
            here = known.annotation if known else None
            path = f"{path}.{step}" if path else str(step)
            field = (*field, str(step)) if entry is None else field
        elif step != "[key]":  # of a mapping whose key is wrong
            entry = step if entry is None else entry
            here = _content(here)
            path = _entry_path(path, step)
    kind = error["type"]
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        return Mistake(path, f"no such field: {suggest(name, owner.model_fields)}", field, entry)
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return Mistake(f"{path}.kind", f"give {join_alternatives(_parts(here))}", field, entry)
    missing = "is missing: " if kind == "missing" else ""
    return Mistake(path, f"{missing}give {describe(here)}", field, entry)


def _entry_path(path: str, entry: str | int) -> str:
    return f"{path}[{entry}]" if isinstance(entry, int) else f"{path}.{entry}"


def _replace_entries(
    values: Mapping[str, Any], field: tuple[str, ...], entries: list[str | int]
) -> bool:
    """Remove wrong entries of an object; replace those of a list by a right one.

    A list keeps its length, because other lists may have to match it. Returns False if the list has
    no right entry, so that the whole field has to be replaced.
    """
    holder: Any = values
    for step in field:
        holder = holder.get(step) if isinstance(holder, dict) else None
    if isinstance(holder, dict):
        for entry in entries:
            holder.pop(entry, None)
        return True
    right = [each for n, each in enumerate(holder or ()) if n not in entries]
    for entry in entries if right else ():
        holder[entry] = deepcopy(right[0])
    return bool(right)


def _replace(
    values: dict[str, Any],
    field: tuple[str, ...],
    model: type[ConfigPart],
    right: Mapping[str, Any],
) -> None:
    *parents, name = field
    for step in parents:
        inner, theirs = values[step], right.get(step)
        if not isinstance(inner, dict):
            return  # replaced as a whole for another mistake
        same = isinstance(theirs, Mapping) and theirs.get("kind") == inner.get("kind")
        right = theirs if same and isinstance(theirs, Mapping) else {}
        parts = _parts(model.model_fields[step].annotation)
        model = parts[inner["kind"]] if len(parts) > 1 else next(iter(parts.values()))
        values = inner
    values.pop(name, None)
    known = model.model_fields.get(name)
    if known is None:
        return
    if name in right:
        values[name] = deepcopy(right[name])
    elif known.is_required():
        values[name] = _stand_in(known.annotation)


def _stand_in(annotation: object) -> object:
    """Return the emptiest value that a field of that type takes."""
    members = list(_members(annotation))
    first = type(None) if type(None) in members else members[0]
    if first in _PLAIN:
        return _PLAIN[first][1]
    if get_origin(first) is Literal:
        return get_args(first)[0]
    if get_origin(first) is tuple:
        return ()
    if isinstance(first, type) and issubclass(first, ConfigPart):
        return {
            name: _stand_in(known.annotation)
            for name, known in first.model_fields.items()
            if known.is_required() or name == "kind"
        }
    return {}


def _members(annotation: object) -> Iterator[object]:
    """Yield the members of a union, or the type itself."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for each in get_args(annotation):
            yield from _members(each)
    else:
        yield annotation


def _parts(annotation: object) -> dict[str, type[ConfigPart]]:
    """Return the parts that a field of that type takes, by each kind that they can be."""
    return {
        kind: each
        for each in _members(annotation)
        if isinstance(each, type) and issubclass(each, ConfigPart)
        for kind in each.kinds()
    }


def _content(annotation: object) -> object:
    """Return the type of the values in a list or an object."""
    containers = (get_args(each) for each in _members(annotation) if get_origin(each))
    inside = next(containers, ())
    return next((each for each in reversed(inside) if each is not ...), None)
