"""Commands about recordings at a site: what they refuse before they ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from access.messages import AccountAccess, NewRecording
from client.cli.app import app
from client.errors import ExitCode
from client.recordings import site as recordings

pytestmark = pytest.mark.unit

ACCESS = AccountAccess(
    issuer="https://issuer.test",
    page_client_id="page",
    program_client_id="program",
    authorization_endpoint="https://issuer.test/authorize",
    token_endpoint="https://issuer.test/token",  # noqa: S106 - an address
)
ID = "a" * 26


@pytest.fixture(autouse=True)
def _site(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find_access(base: str) -> AccountAccess:
        del base
        return ACCESS

    monkeypatch.setattr("client.cli.site_recordings.find_access", find_access)
    monkeypatch.delenv("RECORDINGS_BUCKET", raising=False)
    monkeypatch.setenv("CLOUDSCRIBE_API_KEY", f"csk_{ID}_{ID}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("upload", "a.wav", "--name", "ann/"), "--name is a path in a bucket"),
        (("upload", "a.wav", "b.wav", "--title", "Both"), "--title is for one recording"),
        (("status", "talk.wav"), "by its id of 26 letters and digits"),
        (("status", "uploads/talk.wav", "--watch"), "by its id"),
        (("fetch", ID.upper()), "by its id"),
        (("fetch",), "by its id"),
        # Sessions are in a bucket alone.
        (("status", "--session", "ann/monday"), "No bucket is named"),
        (("upload", ".", "--session", "ann/monday"), "No bucket is named"),
    ],
)
def test_what_is_meant_for_a_bucket_is_refused(arguments: tuple[str, ...], words: str) -> None:
    result = CliRunner().invoke(app, list(arguments))

    assert result.exit_code == ExitCode.USAGE
    assert words in " ".join(result.stderr.split())


def test_a_title_is_refused_with_a_bucket() -> None:
    result = CliRunner().invoke(app, ["upload", "a.wav", "--title", "A", "--bucket", "recordings"])

    assert result.exit_code == ExitCode.USAGE
    assert "in a bucket use --name" in result.stderr


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mp3", "audio/mpeg"),
        ("a.mp4", "video/mp4"),
        ("a.html", "application/octet-stream"),
        ("a.svg", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("a.nothing", "application/octet-stream"),
    ],
)
def test_a_file_has_a_type_that_the_api_takes(name: str, kind: str) -> None:
    assert recordings.find_content_type(Path(name)) == kind


@pytest.mark.parametrize(
    "name", ["talk.wav", "a\nb.wav", "\udcff.wav", "\u202etalk.wav", "x" * 255]
)
def test_any_name_of_a_file_is_sent_as_one_that_the_api_takes(name: str) -> None:
    wanted: dict[str, Any] = {"title": "Talk", "size": 1}

    NewRecording(file_name=recordings._name(Path(name)), **wanted)
