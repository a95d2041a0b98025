"""What set-up tells people about their machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import checks
from scripts.checks import SetupError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("output", ["v20.19.0\n", "v20.20.2\n", "v22.12.0\n", "v24.1.0\n"])
def test_a_node_that_builds_the_page_is_accepted(output: str) -> None:
    checks.check_node(output)


@pytest.mark.parametrize("output", ["v18.20.4\n", "v20.18.3\n", "v21.7.3\n", "v22.11.0\n"])
def test_a_node_that_is_too_old_is_named(output: str) -> None:
    with pytest.raises(SetupError, match=rf"Node {output.strip()[1:]} is too old.*20\.19"):
        checks.check_node(output)


@pytest.mark.parametrize("output", [None, "", "segmentation fault"])
def test_a_missing_node_is_said_with_what_to_do(output: str | None) -> None:
    with pytest.raises(SetupError, match=r"Node was not found\..*nodejs\.org"):
        checks.check_node(output)


def test_too_little_disk_is_said_in_gigabytes() -> None:
    checks.check_disk(2 * checks.GIB, 2 * checks.GIB, Path("/data"))
    with pytest.raises(SetupError, match=r"1\.5 GB are free in /data, and 2 GB are needed"):
        checks.check_disk(3 * checks.GIB // 2, 2 * checks.GIB, Path("/data"))


@pytest.mark.parametrize("key", ["version", "version_info"])
def test_an_environment_of_an_old_python_is_refused(key: str) -> None:
    checks.check_environment(f"home = /usr/bin\n{key} = 3.11.7\n", Path("/x/.venv"))
    checks.check_environment("home = /usr/bin\n", Path("/x/.venv"))
    with pytest.raises(SetupError, match=r"made with Python 3\.9\.2.*rm -r /x/\.venv"):
        checks.check_environment(f"home = /usr/bin\n{key} = 3.9.2\n", Path("/x/.venv"))


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("Error: ... because ensurepip is not\navailable.", "python3-venv"),
        ("fatal error: Python.h: No such file or directory", "build-essential"),
        ("No CMAKE_C_COMPILER could be found.", "build-essential"),
        ("Temporary failure in name resolution", "registry"),
        ("npm error code EAI_AGAIN", "registry"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
    ],
)
def test_known_failures_of_installers_are_explained(output: str, advice: str) -> None:
    assert advice in (checks.explain(output) or "")


def test_an_unknown_failure_is_not_explained_away() -> None:
    assert checks.explain("Segmentation fault") is None
