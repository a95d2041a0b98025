"""The validation of custom vocabularies and vocabulary filters for Amazon Transcribe.

A vocabulary is a list of phrases, or a table that also has the spelling of each phrase. A filter is
a list of words to mask, remove or tag. `violations` reads the bounds in Amazon's service model
(lengths, patterns, languages) from botocore. The other rules are in the developer guide, "Custom
vocabularies" and "Creating a vocabulary filter", as of November 2026.

ValueError
└── WrongEntries    the defect of a file, with its line
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Bytes of one vocabulary or filter; the guide's "50 Kb", read generously.
MAX_BYTES: Final = 50 * 1024
#: Characters of one entry.
MAX_CHARACTERS: Final = 256
#: Columns of a table. Amazon ignores the last two.
_PHRASE, _DISPLAY_AS = "Phrase", "DisplayAs"
_COLUMNS: Final = frozenset({_PHRASE, _DISPLAY_AS, "IPA", "SoundsLike"})
#: The characters of a phrase other than letters and marks.
_JOINERS: Final = frozenset("-.'\u2019\u00b7\u200c\u200d")
#: The most characters of a value that a message quotes.
_QUOTED: Final = 100


class WrongEntries(ValueError):
    """A file is no valid vocabulary or filter."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The content of a file."""

    #: Without duplicates, in the order of the file. For a table the column `Phrase`.
    phrases: tuple[str, ...]
    is_table: bool = False


# --- files --------------------------------------------------------------------------------------


def parse_vocabulary(content: bytes) -> Entries:
    """Parse a vocabulary: one phrase a line, or a table with tabs between its columns.

    Raises:
        WrongEntries: Amazon would reject it.
    """
    lines = _lines(content)
    header = lines[0][1].split("\t")
    if len(header) == 1 and header != [_PHRASE]:
        return _entries(lines, phrase_problem)
    columns = [name.strip() for name in header]
    if _PHRASE not in columns or set(columns) - _COLUMNS or len(set(columns)) < len(columns):
        raise WrongEntries(
            "line 1: the header of a table names the columns Phrase and DisplayAs, "
            "with one tab between them"
        )
    rows = []
    for number, line in lines[1:]:
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise WrongEntries(f"line {number}: {len(cells)} columns instead of {len(columns)}")
        row = dict(zip(columns, cells, strict=True))
        if len(row.get(_DISPLAY_AS, "")) > MAX_CHARACTERS:
            raise WrongEntries(f"line {number}: DisplayAs is longer than {MAX_CHARACTERS}")
        rows.append((number, row[_PHRASE]))
    return Entries(_entries(rows, phrase_problem).phrases, is_table=True)


def parse_filter(content: bytes) -> Entries:
    """Parse a vocabulary filter: one word a line.

    Raises:
        WrongEntries: Amazon would reject it.
    """
    return _entries(_lines(content), word_problem)


def phrase_problem(phrase: str) -> str | None:
    """Return why Amazon rejects a phrase; None if no reason is known."""
    if not phrase:
        return "the phrase is missing"
    if len(phrase) > MAX_CHARACTERS:
        return f"longer than {MAX_CHARACTERS} characters"
    if any(character.isspace() for character in phrase):
        return "spaces are not allowed; write Los-Angeles, with a hyphen between words"
    if any(character.isdecimal() for character in phrase):
        return "digits are not allowed; write numbers as they are spoken, such as zero-two"
    return _character_problem(phrase)


def word_problem(word: str) -> str | None:
    """Return why Amazon rejects a word of a filter; None if no reason is known."""
    if len(word) > MAX_CHARACTERS:
        return f"longer than {MAX_CHARACTERS} characters"
    if any(character.isspace() for character in word):
        return "an entry of a filter is a single word"
    return _character_problem(word)


def unsupported(entry: str) -> str | None:
    """Return the first character that Amazon accepts in no language; None if there is none.

    The set of each language is smaller; only Amazon checks it.
    """
    return next(
        (
            character
            for character in entry
            if character not in _JOINERS and unicodedata.category(character)[0] not in "LM"
        ),
        None,
    )


def _character_problem(entry: str) -> str | None:
    found = next((each for each in entry if unicodedata.category(each) == "Cc"), None)
    return None if found is None else f"control character U+{ord(found):04X}"


def _lines(content: bytes) -> list[tuple[int, str]]:
    """Return the lines that are not empty, with their numbers from 1."""
    if len(content) > MAX_BYTES:
        raise WrongEntries(f"{len(content):,} bytes; Amazon takes at most {MAX_BYTES:,}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise WrongEntries(f"line {line}: not UTF-8; save the file in that encoding") from error
    lines = (line.rstrip("\r ") for line in text.split("\n"))
    found = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise WrongEntries("it is empty")
    return found


def _entries(lines: list[tuple[int, str]], problem_of: Any) -> Entries:
    found: dict[str, None] = {}
    for number, line in lines:
        problem = problem_of(line)
        if problem is not None:
            raise WrongEntries(f"line {number}: {problem}")
        found[line] = None
    if not found:
        raise WrongEntries("it has no entry")
    return Entries(tuple(found))


# --- Amazon's model -----------------------------------------------------------------------------


def violations(shape: Any, value: object, at: str = "") -> Iterator[str]:
    """Yield the violations of a value, in the form of Amazon's own messages.

    Args:
        shape: the shape of the value in botocore's model.
        value: the value from JSON.
        at: the member's path, such as `phrases.3`.
    """
    expected = _TYPES.get(shape.type_name, object)
    if not isinstance(value, expected) or (
        expected is int and isinstance(value, bool)  # bool is an int to Python
    ):
        yield f"Value at '{at}' failed to satisfy constraint: Member must be a {shape.type_name}"
        return
    for constraint in _constraints(shape, value):
        yield f"Value '{str(value)[:_QUOTED]}' at '{at}' failed to satisfy constraint: {constraint}"
    for member, each, path in _members(shape, value, at):
        if each is None:
            yield f"Value null at '{path}' failed to satisfy constraint: Member must not be null"
        else:
            yield from violations(member, each, path)


_TYPES: Final[Mapping[str, type]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "integer": int,
    "boolean": bool,
}


def _members(shape: Any, value: Any, at: str) -> Iterator[tuple[Any, object, str]]:
    """Yield shape, value and path of each member; the value is None for a missing required one."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None or name in shape.required_members:
                yield member, value.get(name), _path(at, name)
    elif shape.type_name == "map":
        for name, each in value.items():
            yield shape.key, name, f"{at}.key"
            yield shape.value, each, f"{at}.value"
    elif shape.type_name == "list":
        for number, each in enumerate(value, 1):
            yield shape.member, each, f"{at}.{number}"


def _constraints(shape: Any, value: Any) -> Iterator[str]:
    """Yield the constraints that a value violates by itself."""
    bounds = shape.metadata
    least, most = bounds.get("min"), bounds.get("max")
    is_number = isinstance(value, int)
    size = value if is_number else len(value) if hasattr(value, "__len__") else 0
    what = "have value" if is_number else "have length"
    if least is not None and size < least:
        yield f"Member must {what} greater than or equal to {least}"
    if most is not None and size > most:
        yield f"Member must {what} less than or equal to {most}"
    pattern = bounds.get("pattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        yield f"Member must satisfy regular expression pattern: {pattern}"
    allowed = bounds.get("enum")
    if allowed is not None and value not in allowed:
        yield f"Member must satisfy enum value set: [{', '.join(allowed)}]"


def _path(at: str, name: str) -> str:
    camel = name[:1].lower() + name[1:]
    return f"{at}.{camel}" if at else camel
