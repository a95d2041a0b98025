"""Logs are JSON lines, those of libraries too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

PROGRAM = """
import logging, structlog
from foundation.logs import configure_logging
configure_logging("info")
log = structlog.get_logger()
log.debug("hidden")
log.info("ready", port=1)
logging.getLogger("library").info("hidden")
logging.getLogger("library").warning("careful")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""


def test_our_events_and_libraries_warnings_are_json_lines() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )

    first, second, third = map(json.loads, ran.stderr.splitlines())
    assert (first["event"], first["level"], first["port"]) == ("ready", "info", 1)
    assert (second["event"], second["level"]) == ("careful", "warning")
    assert third["event"] == "failed"
    assert "ZeroDivisionError" in third["exception"]
    assert not ran.stdout
