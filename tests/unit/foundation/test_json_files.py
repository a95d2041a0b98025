"""JSON objects that people write."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.json_files import WrongFile, read_object

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{\n  "demo": secret\n}', "cdk.context.json, line 2, column 11: "),
        (b"", "cdk.context.json is empty"),
        (b'{"demo": "\xff"}', "is not a text in UTF-8"),
        (b"[1]", "give an object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"demo": {"a": 1, "a": 2}}', "'a' stands twice"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused_with_the_place(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "cdk.context.json"
    path.write_bytes(content)

    with pytest.raises(WrongFile) as refused:
        read_object(path)

    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_folder_cannot_be_read_and_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(WrongFile, match="cannot be read"):
        read_object(tmp_path)
    assert read_object(tmp_path / "none") == {}
    (tmp_path / "good").write_bytes(b'{"demo": {}}')
    assert read_object(tmp_path / "good") == {"demo": {}}
