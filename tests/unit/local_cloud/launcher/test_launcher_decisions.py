"""Restarts and logs of the launcher."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpu_server.settings import Settings
from local_cloud import logs
from local_cloud.launcher import demo, parts
from local_cloud.launcher.disk import DISK_TO_GO_ON
from local_cloud.launcher.parts.recordings import RecordingsPart
from local_cloud.launcher.shell_file import shell_file
from local_cloud.stacks.deployment import StackOutputs

pytestmark = pytest.mark.unit


def test_restarts_slow_down() -> None:
    assert [parts.part.restart_delay(n) for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (1, "ended with status 1"),
        (0, "ended with status 0"),
        (-9, "ended by SIGKILL"),
        (137, "ended by SIGKILL"),
        (255, "ended with status 255"),
    ],
)
def test_an_exit_code_is_described_in_words(status: int, words: str) -> None:
    assert parts.part.describe_exit(status) == words


class Mortal:
    """A part that dies as soon as it lives."""

    name = "The part"

    def __init__(self, log: Path) -> None:
        self.log = log
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self.starts % 2:
            raise parts.part.PartFailed("not this time")

    async def wait(self) -> int:
        return 3

    async def stop(self) -> None:
        raise AssertionError("only the launcher stops a part")

    def kill(self) -> None:
        raise AssertionError("only the launcher kills a part")


async def test_a_part_that_cannot_stay_up_is_given_up_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts.part, "restart_delay", lambda _: 0.0)
    part = Mortal(tmp_path / "log")
    part.log.write_text("cannot find my keys\n")
    printed: list[str] = []
    with pytest.raises(parts.part.PartFailed, match="time and again") as failure:
        await parts.part.keep_running(part, printed.append)
    assert str(failure.value).endswith("cannot find my keys")
    assert part.starts == parts.part.MAX_QUICK_ENDS
    assert printed[0] == "The part ended with status 3; it is started again in 0 s"


async def test_the_demo_warns_once_each_time_the_disk_gets_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [DISK_TO_GO_ON, 1, 0, DISK_TO_GO_ON, 1]
    printed: list[str] = []
    monkeypatch.setattr(demo, "print_line", printed.append)
    monkeypatch.setattr(demo, "DISK_SECONDS", 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=seen.pop(0)))

    with pytest.raises(IndexError):
        await demo._watch_disk(tmp_path)

    assert len(printed) == 2
    assert "0.0 GB are free" in printed[0]
    assert "Make room" in printed[0]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"event": "serving", "level": "info"}', None),
        ('{"event": "retry", "level": "warning"}', None),
        ("", None),
        (
            '{"event": "died", "level": "error", "task": "box", "exception": "At\\nKeyError: 1"}',
            "died task=box KeyError: 1",
        ),
        ("SLOTS: Input should be a valid integer", "SLOTS: Input should be a valid integer"),
        ("[1, 2]", "[1, 2]"),
        ("x" * 1000, "x" * logs.WIDTH),
    ],
)
def test_errors_and_last_words_are_shown_and_nothing_else(line: str, shown: str | None) -> None:
    assert logs.format_error(line) == shown


def test_a_log_is_read_line_by_line_and_kept_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "service.log"
    reader = logs.LogReader(log)
    assert reader.read() == []
    with log.open("ab", buffering=0) as writer:
        writer.write(b"one\ntw")
        assert reader.read() == ["one"]
        writer.write(b"o\n")
        assert reader.read() == ["two"]
        monkeypatch.setattr(logs.bound, "__defaults__", (4,))
        assert reader.read() == []
        assert log.stat().st_size == 0
        writer.write(b"three\n")
        assert reader.read() == ["three"]
    assert (tmp_path / "service.log.1").read_text() == "one\ntwo\n"


def test_the_log_of_the_last_run_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "service.log"
    logs.rotate(log)
    log.write_text("old")
    logs.rotate(log)
    assert not log.exists()
    assert (tmp_path / "logs" / "service.log.1").read_text() == "old"
    assert logs.last_lines(log) == []


@pytest.mark.parametrize("offset", range(4))
def test_a_log_that_is_cut_within_a_character_is_shown_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    monkeypatch.setattr(logs, "CHUNK", 12 + offset)
    (tmp_path / "log").write_bytes("日本語日本語 ".encode() + b"caf\xe9")

    (line,) = logs.last_lines(tmp_path / "log")

    assert line.endswith("語 caf\\xe9")
    assert "\ufffd" not in line


TOKEN = "a-token-of-this-run"  # noqa: S105 - a test's


def transcriber(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """Return the settings that a transcriber is started with."""
    part = RecordingsPart(log=tmp_path / "log", work=tmp_path / "work", port=9, token=TOKEN)
    names = {field.name: f"http://{field.name}" for field in fields(StackOutputs)}
    part.configure(environment, StackOutputs(**names))
    return part.environment


def test_the_user_chooses_the_transcriber_and_the_demo_the_rest(tmp_path: Path) -> None:
    chosen = {name.upper(): "theirs" for name in Settings.model_fields}

    given = transcriber(tmp_path, chosen)

    theirs = {name for name, value in given.items() if value == "theirs"}
    assert theirs == {
        "ALIGNMENT",
        "ALIGNMENT_MODEL",
        "BATCH_SIZE",
        "COMPUTE_TYPE",
        "DEVICE",
        "FETCH_MODELS",
        "HF_TOKEN",
        "LOG_LEVEL",
        "MODEL",
        "TRANSCRIBER",
        "TRANSCRIBER_LANGUAGE",
    }


def test_the_transcribers_settings_are_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in transcriber(tmp_path, {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RECORDINGS_BUCKET", "a-bucket")

    settings = Settings()

    assert settings.is_loopback
    assert settings.secret == TOKEN
    assert settings.queue_url == "http://jobs_queue_url"


def test_a_shell_that_reads_the_settings_uses_the_demos_aws_and_no_other(tmp_path: Path) -> None:
    aws = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "HOME": "/home/me"}
    names = {"CLOUDSCRIBE_URL": "http://127.0.0.1:8090", "RECORDINGS_BUCKET": "a bucket"}
    with shell_file(tmp_path, aws, names) as path:
        mode = path.stat().st_mode & 0o777
        read = subprocess.run(
            ["/bin/sh", "-ec", f". {shlex.quote(str(path))}; env"],
            env={"PATH": os.environ["PATH"], "AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "x\ny"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()

    assert mode == 0o600
    assert not path.exists()
    assert sorted(line for line in read if line.startswith(("AWS_", "CL", "REC", "HOME"))) == [
        "AWS_ENDPOINT_URL=http://127.0.0.1:1",
        "AWS_REGION=us-east-1",
        "CLOUDSCRIBE_URL=http://127.0.0.1:8090",
        "RECORDINGS_BUCKET=a bucket",
    ]
