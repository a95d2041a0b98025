"""How a command finds the demo that runs on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local_cloud import ROOT
from local_cloud.errors import LaunchError
from local_cloud.launcher.data_folder import lock_folder
from local_cloud.shell import find_shell_file

pytestmark = pytest.mark.unit

needs_make = pytest.mark.skipif(not shutil.which("make"), reason="there is no make")


def test_the_find_shell_file_a_demo_that_runs_are_found(tmp_path: Path) -> None:
    (tmp_path / "aws.env").touch()

    with lock_folder(tmp_path):
        assert find_shell_file({"LOCAL_DIR": str(tmp_path)}) == tmp_path / "aws.env"


def test_without_a_demo_the_command_that_starts_one_is_named(tmp_path: Path) -> None:
    """Also where one was killed, and its settings lie there yet."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(LaunchError, match="start `make demo` first"):
            find_shell_file({"LOCAL_DIR": str(folder)})
    with lock_folder(tmp_path):
        pass
    (tmp_path / "aws.env").touch()
    with pytest.raises(LaunchError, match="start `make demo` first"):
        find_shell_file({"LOCAL_DIR": str(tmp_path)})


def test_a_demo_that_still_starts_is_to_be_waited_for(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(LaunchError, match="not ready yet"):
        find_shell_file({"LOCAL_DIR": str(tmp_path)})


def redriven(folder: Path) -> subprocess.CompletedProcess[str]:
    """Send back with the settings of a demo, but without setting anything up."""
    python = f"PYTHON_HERE={sys.executable}"
    return subprocess.run(
        ["make", "-o", "setup-python", "redrive", "ENV=local", f"LOCAL_DIR={folder}", python],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_make
def test_a_redrive_takes_the_settings_of_a_folder_whose_name_has_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "aws.env").write_text("echo these are read >&2; exit 5\n")

    with lock_folder(folder):
        done = redriven(folder)

    assert done.returncode
    assert done.stderr.startswith("these are read\n")


@needs_make
def test_a_redrive_without_a_demo_is_refused_in_a_sentence(tmp_path: Path) -> None:
    done = redriven(tmp_path / "none")

    assert done.returncode
    assert done.stderr.startswith(f"No demo runs in {tmp_path / 'none'}: start `make demo` first")
    assert done.stdout == ""


@needs_make
def test_a_redrive_sets_up_nothing_for_tests() -> None:
    commands = subprocess.run(
        ["make", "--dry-run", "redrive"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert re.search(r"^make .* \.venv/\.runtime$", commands, re.MULTILINE)
