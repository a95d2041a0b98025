"""What EventBridge bounds, of every rule of every environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.assembly import Assembly
from tests.support.event_patterns import (
    KNOWN_ACCEPTED,
    KNOWN_REFUSED,
    MAX_PATTERN_CHARACTERS,
    MAX_RULES,
    MAX_TARGETS,
    MAX_WILDCARD_RULES,
    complexity,
    has_wildcards,
    of_wildcards,
)

pytestmark = pytest.mark.unit

#: What a reference in a template becomes at the longest: the name of a bucket.
REFERENCE = "x" * 63


def patterns(assembly: Assembly, of: str = "*") -> Iterator[tuple[str, dict[str, Any]]]:
    for where, rule in assembly.resources("AWS::Events::Rule", of):
        if pattern := rule["Properties"].get("EventPattern"):
            yield where, pattern


# --- the templates --------------------------------------------------------------------------


def test_no_rule_is_more_complex_than_one_that_was_accepted(assembly: Assembly) -> None:
    found = list(patterns(assembly))

    assert found
    for where, pattern in found:
        assert complexity(pattern) <= KNOWN_ACCEPTED, where


def test_no_rule_has_a_longer_pattern_than_it_may(assembly: Assembly) -> None:
    for where, pattern in patterns(assembly):
        written = json.dumps(_resolved(pattern))
        assert len(written) <= MAX_PATTERN_CHARACTERS, where


def test_no_rule_has_more_targets_than_it_may(assembly: Assembly) -> None:
    for where, rule in assembly.resources("AWS::Events::Rule"):
        assert 1 <= len(rule["Properties"]["Targets"]) <= MAX_TARGETS, where


def test_all_environments_fit_on_the_bus_of_one_account(assembly: Assembly) -> None:
    """Three copies of each, for pull requests and their like."""
    wild = [where for where, pattern in patterns(assembly) if has_wildcards(pattern)]

    assert 3 * len(list(assembly.resources("AWS::Events::Rule"))) <= MAX_RULES
    assert 3 * len(wild) <= MAX_WILDCARD_RULES


def _resolved(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) & {"Ref", "Fn::GetAtt", "Fn::ImportValue"}:
            return REFERENCE
        return {name: _resolved(each) for name, each in value.items()}
    return [_resolved(each) for each in value] if isinstance(value, list) else value


# --- the calculator -------------------------------------------------------------------------


def stacks(*names: str) -> dict[str, Any]:
    """The rule of github.com/vals-ai/Valkyrie that became too complex."""
    return {"detail": {"stack-id": [{"wildcard": f"*:stack/{name}/*"} for name in names]}}


def test_complexity_separates_the_refused_rule_from_the_accepted_one() -> None:
    accepted = ("SharedStack", "ServiceStack", "WebStack")

    assert complexity(stacks(*accepted)) == KNOWN_ACCEPTED
    assert complexity(stacks(*accepted, "MonitoringStack")) == KNOWN_REFUSED


@pytest.mark.parametrize(
    ("score", "matches"),
    [
        # Computed by the matcher itself, commit 337e8d9 of aws/event-ruler.
        (0, ["users/a"]),
        (0, [{"prefix": "uploads/"}, {"suffix": "/metadata.json"}]),
        (2, [{"wildcard": "a*b"}]),
        (5, [{"wildcard": "*a*a*"}]),
        (5, [{"wildcard": "users/*/transcripts/*-chunk-*"}, {"suffix": "/metadata.json"}]),
        (6, [{"wildcard": "users/*/audio/sessions/*/chunk-*"}, {"prefix": "uploads/"}]),
        (7, [{"anything-but": {"wildcard": "*a*a*a*"}}]),
        (
            14,
            [
                {"wildcard": "users/*/transcripts/*-chunk-*.json"},
                {"wildcard": "users/*/transcripts/*-chunk-*.failed"},
                {"wildcard": "users/*/audio/sessions/*/metadata.json"},
            ],
        ),
    ],
)
def test_it_scores_like_the_matcher(score: int, matches: list[Any]) -> None:
    assert complexity({"detail": {"object": {"key": matches}}}) == score


letters = st.text(alphabet="ab*", min_size=1, max_size=6).map(
    lambda text: "*".join(part for part in text.split("*") if part) or "*"
)


@given(st.lists(letters, min_size=1, max_size=3))
def test_it_scores_what_a_search_of_all_values_finds(wildcards: list[str]) -> None:
    longest = max(map(len, wildcards)) + 2

    def matched(value: str) -> int:
        return sum(
            _matches(prefix, value)
            for each in wildcards
            for length in range(1, len(each) + 3)
            for prefix in [f'"{each}"'[:length]]
        )

    values = ('"' + "".join(rest) for n in range(longest) for rest in product('ab"', repeat=n))

    assert of_wildcards(wildcards) == max(map(matched, values))


@given(st.lists(letters, min_size=1, max_size=4), letters)
def test_one_more_wildcard_never_makes_a_rule_simpler(wildcards: list[str], more: str) -> None:
    assert of_wildcards([*wildcards, more]) >= of_wildcards(wildcards)


def test_fields_are_scored_alone_and_alternatives_together() -> None:
    one, other = {"a": [{"wildcard": "x*x"}]}, {"b": [{"wildcard": "*y*y"}]}

    assert complexity(one | other) == max(complexity(one), complexity(other))
    assert complexity({"$or": [one, one | other]}) > complexity(one)


def test_an_escaped_asterisk_is_a_character() -> None:
    assert complexity({"a": [{"wildcard": r"x\*x\\"}]}) == 1


def _matches(pattern: str, value: str) -> bool:
    """Compare by recursion, as differently from the calculator as can be."""
    if not pattern:
        return not value
    if pattern[0] == "*":
        return any(_matches(pattern[1:], value[at:]) for at in range(len(value) + 1))
    return bool(value) and value[0] == pattern[0] and _matches(pattern[1:], value[1:])
