"""Reads JSON files that people write, with errors for people. Standard library only.

ValueError
└── WrongFile    a file is not one JSON object; the message names the file and, if known, the line
"""

from __future__ import annotations

import json
from json import JSONDecodeError
from pathlib import Path
from typing import Any, NoReturn


class WrongFile(ValueError):
    """A file is not one JSON object. The message quotes names from the file, but no values."""


def read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one if the file does not exist.

    Raises:
        WrongFile: the file cannot be read, is not one JSON object, or has a name twice in the same
            object, of which Python would keep the last value only.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise WrongFile(f"{file.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WrongFile(f"{file.name} is not a text in UTF-8") from error
    if not text.strip():
        raise WrongFile(f"{file.name} is empty: give an object, {{}} at least, or delete it")
    try:
        found = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_number)
    except JSONDecodeError as error:
        line = f"{file.name}, line {error.lineno}, column {error.colno}"
        raise WrongFile(f"{line}: {_in_words(error)}") from error
    except WrongFile as error:
        raise WrongFile(f"{file.name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise WrongFile(
            f"{file.name}: a number is too long, or objects and lists are nested too deeply"
        ) from error
    if not isinstance(found, dict):
        raise WrongFile(f"{file.name}, line 1: give an object, such as {{}}")
    return found


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise WrongFile(f"{name!r} stands twice in the same object: leave one out")
        found[name] = value
    return found


def _no_number(word: str) -> NoReturn:
    raise WrongFile(f"{word} is not a number of JSON")


def _in_words(error: JSONDecodeError) -> str:
    """Return the problem in words, in place of Python's where those mislead."""
    before, after = error.doc[: error.pos].rstrip(), error.doc[error.pos :].lstrip()
    comma = before.endswith(",") or after.startswith(",")
    if comma and after.lstrip(",").lstrip()[:1] in {"}", "]"}:
        return "no comma may stand before a closing bracket"
    if not after:
        return "the file ends too early, probably for want of a closing bracket"
    return error.msg
