"""When set-up finds something to do, and when not."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import stamps

pytestmark = pytest.mark.unit


def test_a_fingerprint_follows_content_names_and_facts_and_nothing_else(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        (root / "src").mkdir(parents=True)
        (root / "src" / "a").write_text("x")
        (root / "src" / "b").write_text("y")
    a, b = one / "src" / "a", one / "src" / "b"
    before = stamps.fingerprint(one, [a, b], "3.11")

    assert before == stamps.fingerprint(one, [b, a], "3.11")
    assert before == stamps.fingerprint(other, [other / "src" / "a", other / "src" / "b"], "3.11")
    assert before != stamps.fingerprint(one, [a, b], "3.12")
    assert before != stamps.fingerprint(one, [a], "3.11")
    b.write_text("z")
    assert before != stamps.fingerprint(one, [a, b], "3.11")
    b.unlink()
    gone = stamps.fingerprint(one, [a, b], "3.11")
    b.write_text("")
    assert gone != stamps.fingerprint(one, [a, b], "3.11"), "an empty file is not a missing one"


def test_content_cannot_pass_for_a_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("b")
    one = stamps.fingerprint(tmp_path, [tmp_path / "a"])
    (tmp_path / "ab").write_text("")
    assert one != stamps.fingerprint(tmp_path, [tmp_path / "ab"])


def test_sources_leave_out_what_is_built(tmp_path: Path) -> None:
    for path in ("src/page.ts", "node_modules/x/index.js", "dist/index.html", "index.html"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    found = stamps.sources(tmp_path, without=["node_modules", "dist"])
    assert {str(path.relative_to(tmp_path)) for path in found} == {"index.html", "src/page.ts"}


def test_a_step_is_current_only_with_its_stamp_and_its_outputs(tmp_path: Path) -> None:
    stamp, output = tmp_path / "deep" / "stamp", tmp_path / "output"
    assert not stamps.is_current(stamp, "v")
    stamps.write(stamp, "v")
    assert stamps.is_current(stamp, "v")
    assert not stamps.is_current(stamp, "w")
    assert not stamps.is_current(stamp, "v", [output])
    output.mkdir()
    assert stamps.is_current(stamp, "v", [output])


def test_a_damaged_stamp_counts_as_none(tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    stamp.write_bytes(b"\xff\xfe")
    assert not stamps.is_current(stamp, "v")
