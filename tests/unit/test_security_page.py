"""docs/security.md names a test for each defence: the tests exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_the_named_tests_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    defined = {
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert len(named) > 40
    assert named - defined == set()


def test_the_named_test_files_of_the_page_exist() -> None:
    named = set(re.findall(r"`(\w+\.test\.ts)`", PAGE))

    assert named
    assert named - {file.name for file in (ROOT / "frontend" / "src").rglob("*.test.ts")} == set()


def test_each_threat_has_a_defence_and_a_test() -> None:
    threats = PAGE[PAGE.index("## Threats") : PAGE.index("## What abuse costs")]
    rows = [line.strip("|").split("|") for line in threats.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0].strip() != "threat"]

    assert len(rows) > 30
    assert [row for row in rows if len(row) != 3 or "`" not in row[2]] == []
