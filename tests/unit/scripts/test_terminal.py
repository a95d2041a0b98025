from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit


def test_who_is_gone_is_no_reason_to_stop_nor_to_complain() -> None:
    program = "from scripts.terminal import say; input(); say('one'); say('two'); exit(3)"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()

    _, complaint = process.communicate(b"\n")

    assert (process.returncode, complaint) == (3, b"")
