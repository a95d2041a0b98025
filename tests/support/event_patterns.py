"""Computes how complex Amazon EventBridge finds an event pattern, and what else it bounds.

EventBridge refuses a rule whose wildcards are too complex, and publishes no figure. Its matcher is
open source, though (github.com/aws/event-ruler): `MachineComplexityEvaluator` returns the largest
number of *wildcard prefixes* that a single value can match at once. For `a*bc` these are `a`, `a*`,
`a*b` and `a*bc`; the value `ab` matches two of them, and none matches more.

`complexity` computes the same by following all prefixes at once through every value that makes a
difference. Like the matcher it compares UTF-8 bytes and counts the quotes around a JSON string, and
only what has wildcards: `prefix`, `suffix` and exact values cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

#: The highest score that a rule is known to have been accepted with, and the lowest that is known
#: to have been refused ("Rule is too complex"): one more pattern made the difference between them
#: for a public project (github.com/vals-ai/Valkyrie, pull request 278). AWS names no figure.
KNOWN_ACCEPTED: Final = 9
KNOWN_REFUSED: Final = 12

#: EventBridge's quotas ("Amazon EventBridge quotas" in its User Guide), each the default: an
#: account may have more, but a template must not count on it.
MAX_PATTERN_CHARACTERS: Final = 2048
MAX_TARGETS: Final = 5
MAX_WILDCARD_RULES: Final = 30
MAX_RULES: Final = 300

_ANY: Final = -1


def complexity(pattern: dict[str, Any]) -> int:
    """Return the score of a rule's pattern: that of its most complex field.

    The alternatives of an `$or` are counted together, and so is what is there twice; the matcher
    scores such a pattern lower at times, never higher.
    """
    fields: dict[str, list[str]] = {}
    for path, wildcard in _wildcards(pattern):
        fields.setdefault(path, []).append(wildcard)
    return max((of_wildcards(found) for found in fields.values()), default=0)


def of_wildcards(patterns: list[str]) -> int:
    """Return how many prefixes of these wildcard patterns one value can match at most."""
    tokens = [_tokens(pattern) for pattern in patterns]
    alphabet = {token for each in tokens for token in each if token != _ANY}
    start = frozenset((number, 0) for number in range(len(tokens)))
    waiting, seen, most = [start], {start}, 0
    while waiting:
        matched = waiting.pop()
        # A byte that no pattern has goes only through asterisks, as every byte does besides.
        for byte in (*alphabet, None):
            after = frozenset(_advance(tokens, matched, byte))
            most = max(most, len(after))
            if after and after not in seen:
                seen.add(after)
                waiting.append(after)
    return most


def has_wildcards(pattern: dict[str, Any]) -> bool:
    """Return whether a pattern is among those of which a bus may have few."""
    return any(True for _ in _wildcards(pattern))


def _advance(
    tokens: list[list[int]], matched: frozenset[tuple[int, int]], byte: int | None
) -> Iterator[tuple[int, int]]:
    """Yield the prefixes, as pattern and length, that match after one more byte."""
    for number, length in matched:
        pattern = tokens[number]
        if length and pattern[length - 1] == _ANY:
            yield number, length
        if length < len(pattern) and pattern[length] == byte:
            yield number, length + 1
            if pattern[length + 1 : length + 2] == [_ANY]:  # which matches nothing, too
                yield number, length + 2


def _tokens(wildcard: str) -> list[int]:
    """Return the bytes of a wildcard pattern in its quotes."""
    tokens = [ord('"')]
    characters = iter(wildcard)
    for character in characters:
        if character == "*":
            tokens.append(_ANY)
        else:
            literal = next(characters) if character == "\\" else character
            tokens.extend(literal.encode())
    return [*tokens, ord('"')]


def _wildcards(pattern: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every wildcard of a pattern with the path of its field."""
    for name, value in pattern.items():
        if name == "$or":
            for alternative in value:
                yield from _wildcards(alternative, path)
        elif isinstance(value, dict):
            yield from _wildcards(value, f"{path}.{name}")
        else:
            for each in value:
                yield from ((f"{path}.{name}", found) for found in _of_match(each))


def _of_match(match: Any) -> Iterator[str]:
    if not isinstance(match, dict):
        return
    wildcard = match.get("wildcard")
    but = match.get("anything-but")
    if wildcard is None and isinstance(but, dict):
        wildcard = but.get("wildcard")
    yield from [wildcard] if isinstance(wildcard, str) else wildcard or ()
