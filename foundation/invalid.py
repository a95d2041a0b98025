"""Texts for a pydantic `ValidationError`. They quote no values, which may be long or private.

They quote the names of fields, shortened, because the sender may have invented them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

#: The longest path that is quoted, characters.
LONGEST: Final = 80
#: The most problems that a one-line text names.
MOST: Final = 5


def explain(
    error: ValidationError | Iterable[Mapping[str, Any]],
    *,
    whole: str = "",
    rename: Callable[[str], str] = str,
) -> str:
    """Return a line for people: `conversation: String should have at least 1 character; ...`.

    It names at most `MOST` problems.

    Args:
        error: the error, or its details where another library has wrapped it.
        whole: the name for problems that belong to no single field.
        rename: turns a field's path, such as `words.0.start`, into the name that people know.
    """
    return "; ".join(explain_each(error, whole=whole, rename=rename)[:MOST])


def explain_each(
    error: ValidationError | Iterable[Mapping[str, Any]],
    *,
    whole: str = "",
    rename: Callable[[str], str] = str,
) -> list[str]:
    """Return a line for each problem; see `explain`."""
    lines = []
    for each in _details(error):
        path = _path(each)
        lines.append(_line(rename(path) if path else whole, _words(each)))
    return lines


def summarise(error: ValidationError, *, whole: str = "document") -> str:
    """Return a line for logs and dead letters, with pydantic's error codes: `words.0: missing`."""
    lines = (_line(_path(each) or whole, each["type"]) for each in _details(error))
    return "; ".join(list(lines)[:MOST])


def _details(error: ValidationError | Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    if isinstance(error, ValidationError):
        yield from error.errors(include_url=False, include_input=False)
    else:
        yield from error


def _path(detail: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    return path if len(path) <= LONGEST else f"{path[:LONGEST]}..."


def _words(detail: Mapping[str, Any]) -> str:
    if detail["type"] == "union_tag_invalid":  # pydantic's message quotes the tag that was sent
        context = detail["ctx"]
        return f"{context['discriminator']} should be one of {context['expected_tags']}"
    return str(detail["msg"]).removeprefix("Value error, ")


def _line(name: str, words: str) -> str:
    return f"{name}: {words}" if name else words
