"""What the set-up prints of its steps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts import step

pytestmark = pytest.mark.unit

NPM = """
npm error code ECONNREFUSED
npm error     at ClientRequest.emit (node:events:524:28)
npm error     at process.processTicksAndRejections (node:internal/process/task_queues:83:21) {
npm error     at the bottom of this line is no number
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_step_is_announced_and_its_output_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert step.main(["Web page", "sh", "-c", "echo words; echo more >&2"]) == 0

    assert capsys.readouterr().out == "Web page ...\nWeb page: ready after 0 s\n"
    assert Path(".local/logs/setup-web-page.log").read_text() == "words\nmore\n"


def test_notes_of_a_command_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert step.main(["Layer", "sh", "-c", "echo words; echo Note: it is slow; echo end"]) == 0

    assert capsys.readouterr().out.splitlines()[1:] == [
        "Layer: ready after 0 s",
        "Note: it is slow",
    ]


def test_a_step_that_takes_long_reports_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "HEARTBEAT", 0.05)

    assert step.main(["Web page", "sleep", "0.3"]) == 0

    assert "  ... Web page, 0 s\n" in capsys.readouterr().out


def test_a_failed_command_is_quoted_without_its_stack_trace_which_the_log_keeps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert step.main(["Node packages", "sh", "-c", f"echo '{NPM}'; exit 3"]) == 3

    shown = capsys.readouterr().out
    assert "Node packages failed:\n" in shown
    assert "    npm error code ECONNREFUSED\n" in shown
    assert "    npm error     at the bottom of this line is no number\n" in shown
    assert "The package registry could not be reached. What is done already is kept." in shown
    assert "node:events:524" not in shown
    assert "node:events:524" in Path(".local/logs/setup-node-packages.log").read_text()


def test_of_an_unknown_failure_the_log_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert step.main(["Web page", "sh", "-c", "echo Segmentation fault; exit 139"]) == 139

    shown = capsys.readouterr().out
    assert "Everything that was printed: .local/logs/setup-web-page.log" in shown


def test_a_program_that_does_not_start_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert step.main(["Web page", "./none"]) == 1

    assert "Web page: No such file or directory: ./none\n" in capsys.readouterr().out


def test_room_is_checked_before_anything_is_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9**9, 0, 10**9))

    assert step.main(["--disk", "1500", "Python environment", "touch", "begun"]) == 1

    assert "1000 MB are free, and 1500 are needed" in capsys.readouterr().out
    assert not Path("begun").exists()


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("Error: ... because ensurepip is not\navailable.", "python3-venv"),
        ("/usr/bin/python3: No module named pip", "python3-pip"),
        ("fatal error: Python.h: No such file or directory", "build-essential"),
        ("No CMAKE_C_COMPILER could be found.", "build-essential"),
        ("Temporary failure in name resolution", "registry"),
        ("npm error code EAI_AGAIN", "registry"),
        ("error sending request for url (...)", "registry"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
    ],
)
def test_known_failures_are_explained(output: str, advice: str) -> None:
    assert advice in (step.explain(output, {}) or "")


def test_a_proxy_that_may_be_stale_is_named_without_its_password() -> None:
    advice = step.explain("Connection refused", {"https_proxy": "http://me:secret@gone:3128"})

    assert advice is not None
    assert advice.endswith("Is the proxy of https_proxy right?")
