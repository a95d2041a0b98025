"""When the digest of a tree changes, and when not."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_cloud.stacks.fingerprint import fingerprint

pytestmark = pytest.mark.unit


def test_a_fingerprint_follows_names_and_content_and_nothing_else(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        (root / "src").mkdir(parents=True)
        (root / "src" / "a").write_text("x")
        (root / "src" / "b").write_text("y")
    before = fingerprint(one, ["src"])

    assert before == fingerprint(one, ["src/b", "src/a"])
    assert before == fingerprint(other, ["src"])
    assert before != fingerprint(one, ["src/a"])
    (one / "src" / "b").write_text("z")
    assert before != fingerprint(one, ["src"])


def test_an_empty_file_is_not_a_missing_one(tmp_path: Path) -> None:
    missing = fingerprint(tmp_path, ["a"])
    (tmp_path / "a").write_text("")
    assert missing != fingerprint(tmp_path, ["a"])


def test_content_cannot_pass_for_a_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("b")
    (tmp_path / "ab").write_text("")
    assert fingerprint(tmp_path, ["a"]) != fingerprint(tmp_path, ["ab"])


def test_what_is_built_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "src" / "node_modules" / "x").mkdir(parents=True)
    before = fingerprint(tmp_path, ["src"], without=["node_modules"])
    (tmp_path / "src" / "node_modules" / "x" / "index.js").write_text("")
    assert before == fingerprint(tmp_path, ["src"], without=["node_modules"])
