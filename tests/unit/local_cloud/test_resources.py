from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from local_cloud.aws import ROOT, environment
from local_cloud.resources import archive

pytestmark = pytest.mark.unit


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the function's folders and something that is no part of it."""
    for name in (
        "lambdas/__init__.py",
        "lambdas/router/handler.py",
        "lambdas/transcript_processor/handler.py",
        "lambdas/transcript_processor/__pycache__/handler.cpython-311.pyc",
        "transcripts/models.py",
        "tests/test_models.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}")
    return tmp_path


def test_the_archive_holds_the_function_and_what_it_imports(tree: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(archive(tree))) as file:
        assert file.namelist() == [
            "lambdas/__init__.py",
            "lambdas/transcript_processor/handler.py",
            "transcripts/models.py",
        ]


def test_the_archive_changes_with_the_code_and_with_nothing_else(tree: Path) -> None:
    before = archive(tree)

    os.utime(tree / "transcripts" / "models.py", (0, 0))
    (tree / "tests" / "test_models.py").write_text("# more tests")
    assert archive(tree) == before

    (tree / "transcripts" / "models.py").write_text("# other models")
    assert archive(tree) != before


def test_the_archive_of_this_tree_has_the_handler() -> None:
    with zipfile.ZipFile(io.BytesIO(archive(ROOT))) as file:
        assert "lambdas/transcript_processor/handler.py" in file.namelist()


def test_the_environment_of_a_child_keeps_nothing_that_leads_to_a_real_account() -> None:
    shell = {
        "AWS_ENDPOINT_URL_SQS": "https://sqs.eu-central-1.amazonaws.com",
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "token",
        "HTTPS_PROXY": "http://proxy:3128",
        "NO_PROXY": "intranet",
        "PATH": "/usr/bin",
    }

    child = environment("http://127.0.0.1:4000", shell)

    assert child["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4000"
    assert child["AWS_CONFIG_FILE"] == child["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert child["PATH"] == "/usr/bin"
    assert child["HTTPS_PROXY"] == "http://proxy:3128"
    assert child["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert not {"AWS_ENDPOINT_URL_SQS", "AWS_PROFILE", "AWS_SESSION_TOKEN"} & child.keys()
