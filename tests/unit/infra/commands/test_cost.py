"""The command that prices an environment: what it reads, prints and refuses."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.commands import cost

pytestmark = pytest.mark.unit

Template = dict[str, Any]


def resource(kind: str) -> Template:
    return {"Type": kind, "Properties": {}}


def assembly(folder: Path, stacks: Mapping[str, Template]) -> Path:
    artifacts: Template = {"Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}}}
    for name, resources in stacks.items():
        environment = name.split("-")[0]
        (folder / f"{name}.template.json").write_text(json.dumps({"Resources": resources}))
        artifacts[name] = {
            "type": "aws:cloudformation:stack",
            "environment": "aws://unknown-account/us-east-1",
            "properties": {
                "templateFile": f"{name}.template.json",
                "tags": {"environment": environment},
            },
            "displayName": name,
        }
    (folder / "manifest.json").write_text(json.dumps({"version": "1", "artifacts": artifacts}))
    return folder


def test_the_command_prices_only_the_stacks_of_its_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = {"Secret": resource("AWS::SecretsManager::Secret")}
    folder = assembly(
        tmp_path, {"demo-data": secret, "prod-data": {**secret, "Key": resource("AWS::KMS::Key")}}
    )

    status = cost.main(["demo", "--assembly", str(folder)])

    assert status == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Total: $0.40 a month"


def test_the_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = assembly(tmp_path, {"demo-data": {"Key": resource("AWS::KMS::Key")}})

    assert cost.main(["demo", "--assembly", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"] == 1.0


def test_the_command_fails_and_prints_no_total_when_a_price_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = assembly(tmp_path, {"demo-data": {"Odd": resource("AWS::Odd::Thing")}})

    status = cost.main(["demo", "--assembly", str(folder)])

    printed = capsys.readouterr()
    assert status == 1
    assert "Total" not in printed.out
    assert "AWS::Odd::Thing Odd in demo-data" in printed.err


def test_an_unknown_environment_lists_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = assembly(tmp_path, {"prod-data": {}, "demo-data": {}})

    assert cost.main(["staging", "--assembly", str(folder)]) == 1
    assert "Known: demo, prod" in capsys.readouterr().err


def test_a_folder_that_is_no_assembly_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cost.main(["demo", "--assembly", str(tmp_path)]) == 1
    assert "is not what `cdk synth` writes" in capsys.readouterr().err


def test_help_describes_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cost.main(["--help"])

    assert left.value.code == 0
    assert "Prices every always-on resource" in capsys.readouterr().out


def test_without_an_environment_the_command_prints_its_usage() -> None:
    with pytest.raises(SystemExit) as left:
        cost.main([])

    assert left.value.code == 2


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_is_no_assembly_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, there: bool
) -> None:
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
        (folder / "manifest.json").write_text("{")

    assert cost.main(["demo", "--assembly", str(folder)]) == 1

    printed = capsys.readouterr().err
    assert ("JSON is broken" if there else "manifest.json: No such file") in printed
    assert "Error" not in printed


def test_a_broken_file_of_ones_own_values_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cdk.json").write_text('{"context": {}}')
    (tmp_path / "cdk.context.json").write_text('{\n  "demo": {},\n}\n')
    monkeypatch.setattr(cost, "ROOT", tmp_path)

    assert cost.main(["demo"]) == 1

    assert capsys.readouterr().err.startswith("cdk.context.json, line 3, column 1: ")


def test_nothing_but_the_reason_is_printed_about_a_refusal() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "infra.commands.cost", "dmeo", "--json"],
        cwd=cost.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "app.py describes no environment 'dmeo': did you mean demo?\n"


def test_an_interruption_ends_it_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delitem(sys.modules, "infra.commands.cost")
    monkeypatch.setattr(sys, "argv", ["cost", "demo"])

    with pytest.raises(SystemExit) as left:
        runpy.run_module("infra.commands.cost", run_name="__main__")

    assert left.value.code == 130


def test_make_hands_the_wish_for_json_on() -> None:
    for json_, option in (("JSON=1", True), ("JSON=", False)):
        planned = subprocess.run(
            ["make", "--dry-run", "-o", "build", "cost", json_],
            cwd=cost.ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert ("--json" in planned) is option


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace app.py by one with two environments of one secret or key each."""
    (tmp_path / "cdk.json").write_text('{"context": {}}')
    (tmp_path / "app.py").write_text(
        textwrap.dedent(
            """
            import aws_cdk as cdk

            app = cdk.App()
            for name, kind in (("demo", "AWS::SecretsManager::Secret"), ("prod", "AWS::KMS::Key")):
                if app.node.try_get_context("environment") in {None, name}:
                    stack = cdk.Stack(app, f"{name}-data", tags={"environment": name})
                    cdk.CfnResource(stack, "Only", type=kind)
            app.synth()
            """
        )
    )
    monkeypatch.setattr(cost, "ROOT", tmp_path)


@pytest.mark.usefixtures("described")
def test_the_command_synthesises_the_environment_that_it_prices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cost.main(["prod"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Total: $1.00 a month"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("staging", "known are local, demo, solo, prod"), ("dmeo", "did you mean demo?")],
)
def test_an_environment_that_app_py_does_not_describe_is_refused_with_a_hint(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cost.main([name]) == 1
    assert capsys.readouterr().err == f"app.py describes no environment {name!r}: {hint}\n"


def test_a_refusal_of_app_py_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cdk.json").write_text('{"context": {}}')
    (tmp_path / "app.py").write_text("raise SystemExit('build/layer is missing; `make build`')")
    monkeypatch.setattr(cost, "ROOT", tmp_path)

    assert cost.main(["demo"]) == 1
    assert capsys.readouterr().err == "build/layer is missing; `make build`\n"
