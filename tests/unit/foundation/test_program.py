"""How operators' commands end when their output is gone or somebody interrupts them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
COMMAND = """
from foundation import program
def main():
    {}
    program.show("one " * 100_000)
    program.show("two")
    return 3
program.end(main)
"""


def ended(shell: str, before: str = "program.note('began')") -> tuple[int, list[str]]:
    """Run a command with the redirections of a shell; return its status and stderr's lines."""
    done = subprocess.run(
        [
            shutil.which("bash") or "bash",
            *("-o", "pipefail", "-c", f'"$0" -c "$1" {shell}'),
            *(sys.executable, COMMAND.format(before)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()


def test_a_command_whose_output_is_read_ends_with_its_own_code() -> None:
    assert ended("> /dev/null") == (3, ["began"])


@pytest.mark.parametrize(
    ("shell", "code", "reason"),
    [
        ("| true", 130, []),
        ("> /dev/full", 7, ["The output cannot be written: No space left on device"]),
        (">&-", 7, ["The output cannot be written: stdout is closed"]),
    ],
)
def test_an_output_that_is_gone_ends_it_without_a_stack_trace(
    shell: str, code: int, reason: list[str]
) -> None:
    assert ended(shell) == (code, ["began", *reason])


@pytest.mark.parametrize("shell", ["2>&-", "2> /dev/full"])
def test_remarks_that_nobody_can_read_do_not_end_it(shell: str) -> None:
    assert ended(f"> /dev/null {shell}") == (3, [])


def test_ctrl_c_ends_it_in_a_word() -> None:
    assert ended("", "raise KeyboardInterrupt") == (130, ["", "Interrupted."])


def test_an_error_of_the_command_itself_is_not_taken_for_one_of_its_output() -> None:
    code, lines = ended("", "raise FileNotFoundError('a.json')")

    assert code == 1
    assert lines[-1] == "FileNotFoundError: a.json"


def test_help_that_nobody_reads_ends_without_a_complaint() -> None:
    code, lines = ended("| true", "import argparse; argparse.ArgumentParser().parse_args(['-h'])")

    assert (code, lines) == (0, [])
