"""What is refused before anything is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local_cloud import ROOT
from local_cloud.errors import InvalidSettings, LaunchError
from local_cloud.launcher import ports, preflight
from local_cloud.launcher.data_folder import data_folder, lock_folder
from local_cloud.launcher.ports import chosen_port

pytestmark = pytest.mark.unit


def test_places_have_defaults_and_come_from_the_environment() -> None:
    for unset in ({}, {"PORT": "", "LOCAL_DIR": ""}):
        assert (chosen_port(unset), data_folder(unset)) == (8080, ROOT / ".local")
    assert chosen_port({"PORT": "8090"}) == 8090
    assert data_folder({"LOCAL_DIR": "/data"}) == Path("/data")
    assert data_folder({"LOCAL_DIR": "~/data"}) == Path.home() / "data"


@pytest.mark.parametrize("port", ["http", "-1", "65536", "8080 ", "\u0661", "9" * 5_000])
def test_an_invalid_port_is_refused(port: str) -> None:
    with pytest.raises(LaunchError, match="is not a port"):
        chosen_port({"PORT": port})


@pytest.mark.parametrize("access", ["", "open", "accounts"])
def test_an_environment_is_open_or_has_accounts(access: str) -> None:
    assert preflight.problems({"ACCESS": access}) == {}


@pytest.mark.parametrize("access", ["closed", "Accounts", "accounts ", "1"])
def test_another_access_is_refused_with_what_it_can_be(access: str) -> None:
    [text] = preflight.problems({"ACCESS": access}).values()
    assert text.startswith(f"ACCESS={access}: it can be open,")
    assert "accounts" in text


def test_only_one_copy_uses_a_folder_and_the_next_may_come_after_it(tmp_path: Path) -> None:
    with lock_folder(tmp_path) as lock:
        lock.write_text(json.dumps({"pid": 1, "url": "http://127.0.0.1:8080"}))
        with (
            pytest.raises(LaunchError, match=r"process 1, http://127\.0\.0\.1:8080"),
            lock_folder(tmp_path),
        ):
            raise AssertionError("a second copy was started")
    with lock_folder(tmp_path):
        pass


def test_who_listens_is_found_in_the_table_of_linux() -> None:
    rest = "00000000:00000000 00:00000000 00000000 0 0"
    table = (
        "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"
        f"0: 0100007F:1F90 00000000:0000 0A {rest} 77 1 0 100\n"
        f"1: 0100007F:1F90 0100007F:A001 01 {rest} 78 1 0 100\n"
        f"2: 0100007F:1F91 00000000:0000 0A {rest} 79 1 0 100\n"
    )
    assert ports.listeners(table, 8080) == {"77"}
    assert ports.listeners("", 8080) == set()


def test_what_a_new_user_sets_is_right_without_a_word(tmp_path: Path) -> None:
    for name in preflight.MODEL_FILES:
        (tmp_path / name).touch()
    for environment in (
        {},
        {"ENGINE": "", "TRANSLATOR": "", "MODEL": "", "PORT": "", "LOCAL_DIR": ""},
        {"ENGINE": "scripted", "TRANSLATOR": "none", "MODEL": str(tmp_path), "PORT": "0"},
        {"MODEL": "small.en", "LOCAL_DIR": str(tmp_path / "not" / "there" / "yet")},
        {"MODEL": "somebody/their-model"},
    ):
        assert preflight.problems(environment) == {}


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {
        "PORT": "80x",
        "LOCAL_DIR": str(tmp_path / "file" / "data"),
        "ENGINE": "Whisper",
        "TRANSLATOR": "google",
        "MODEL": str(tmp_path / "file"),
    }

    found = preflight.problems(environment)

    assert list(found) == ["PORT", "LOCAL_DIR", "ENGINE", "TRANSLATOR", "MODEL"]
    assert f"{tmp_path / 'file'} is not a folder" in found["LOCAL_DIR"]
    assert "the engines are moonshine, pocketsphinx, scripted and transcribe" in found["ENGINE"]
    assert "MODEL=/path/to/model make demo" in found["ENGINE"]
    assert "none, amazon or pseudo" in found["TRANSLATOR"]
    assert "is a file" in found["MODEL"]


@pytest.mark.parametrize("name", ["cdk.json", "cdk.context.json", "home/.cdk.json"])
def test_a_broken_file_of_the_cdk_is_refused_before_anything_starts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / name).write_text("{")

    (problem,) = preflight.problems({"HOME": str(tmp_path / "home")}).values()

    path = tmp_path / name
    assert problem.startswith(f"{path.name}, line 1, column 2: ")
    assert str(path.parent) in problem


def test_a_model_that_is_not_there_or_none_is_named(tmp_path: Path) -> None:
    assert "does not exist" in (preflight.model_problem(str(tmp_path / "none")) or "")
    assert "does not exist" in (preflight.model_problem("./models/none") or "")
    (tmp_path / "config.json").touch()
    assert "has no model.bin, so it is no model" in (preflight.model_problem(str(tmp_path)) or "")


def test_it_needs_nothing_that_has_to_be_installed(tmp_path: Path) -> None:
    done = subprocess.run(
        # Without the environment's packages.
        [sys.executable, "-S", "-m", "local_cloud.launcher.preflight"],
        cwd=ROOT,
        env={"ENGINE": "whisper", "LOCAL_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == preflight.EXIT_USAGE
    assert "the engines are" in done.stdout
    assert done.stderr == ""


def test_a_refused_start_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: int) -> None:
        raise LaunchError("The port is taken.")

    monkeypatch.setattr(preflight, "take_port", refuse)
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path / "data"))

    assert preflight.main() == preflight.EXIT_FAILURE
    assert capsys.readouterr().out == "The port is taken.\n"
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_used_is_refused_in_the_same_words_later(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "data"
    words = f"The data cannot be kept in {folder}: .* Choose another folder with LOCAL_DIR."

    assert re.fullmatch(words, preflight.folder_problem(folder) or "")
    with pytest.raises(InvalidSettings, match=words), lock_folder(folder):
        raise AssertionError("it was locked")


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_it_comes_before_the_installation() -> None:
    commands = subprocess.run(
        ["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    first, *_, last = re.findall(r"-m ([a-z_.]+)", commands)
    assert (first, last) == ("local_cloud.launcher.preflight", "local_cloud")
    assert commands.index(first) < commands.index(".venv/.runtime") < commands.rindex(last)
