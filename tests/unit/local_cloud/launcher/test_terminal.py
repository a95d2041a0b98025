from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit


def test_a_closed_pipe_neither_stops_the_program_nor_makes_it_complain() -> None:
    program = (
        "from local_cloud.launcher.terminal import print_line;"
        " input(); print_line('one'); print_line('two'); exit(3)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[4],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()

    _, complaint = process.communicate(b"\n")

    assert (process.returncode, complaint) == (3, b"")
