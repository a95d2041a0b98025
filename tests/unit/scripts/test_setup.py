from __future__ import annotations

import errno
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts import setup
from scripts.checks import SetupError

pytestmark = pytest.mark.unit

NPM = """
npm error code ECONNREFUSED
npm error     at ClientRequest.emit (node:events:524:28)
npm error     at process.processTicksAndRejections (node:internal/process/task_queues:83:21) {
npm error     at the bottom of this line is no number
"""


def test_a_failed_tool_is_quoted_without_its_stack_trace_which_the_log_keeps(
    tmp_path: Path,
) -> None:
    tools = setup.Tools(tmp_path)
    with pytest.raises(SetupError) as failure:
        tools.run("npm", ["sh", "-c", f"echo '{NPM}'; exit 1"], cwd=tmp_path)
    text = str(failure.value)
    shown = [line.strip() for line in text.splitlines()]
    assert "npm error code ECONNREFUSED" in shown
    assert "npm error     at the bottom of this line is no number" in shown
    assert "The package registry could not be reached. What is done already is kept." in shown
    assert "node:events:524" not in text
    assert "node:events:524" in tools.log("npm").read_text()


def test_a_failure_is_told_while_the_rest_is_still_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = threading.Event()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if "waiting for the rest" in text:
            told.set()

    def fail(_: setup.Tools) -> None:
        raise SetupError("sh failed with status 1:\n    its last line")

    def wait(_: setup.Tools) -> None:
        assert told.wait(10)

    monkeypatch.setattr(setup, "say", say)
    lanes: list[tuple[setup.Step, ...]] = [
        (_step(tmp_path, "bad", fail),),
        (_step(tmp_path, "slow", wait),),
    ]
    errors = setup.SetUp(setup.Tools(tmp_path)).run(lanes)
    assert [str(error).partition("\n")[0] for error in errors] == ["bad: sh failed with status 1:"]
    assert "bad: sh failed with status 1; waiting for the rest to end ..." in said


def test_room_for_what_is_missing_is_checked_before_anything_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: setup.Tools) -> None:
        raise AssertionError("it began")

    lanes = tuple((replace(_step(tmp_path, name, never), disk=700),) for name in ("one", "two"))
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "GOALS", {"page": lanes})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1024**3))

    with pytest.raises(SetupError, match=r"1\.0 GB are free in .*, and 1\.3 GB are needed"):
        setup.set_up("page")


def test_a_disk_that_fills_up_ends_a_step_in_words(tmp_path: Path) -> None:
    def fill(_: setup.Tools) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/the/file")

    [error] = setup.SetUp(setup.Tools(tmp_path)).run([(_step(tmp_path, "step", fill),)])

    assert str(error) == "step: The disk is full: /the/file."


def _step(folder: Path, name: str, run: object) -> setup.Step:
    assert callable(run)
    return setup.Step(name, name, folder / f"{name}.stamp", lambda: name, (), run)
