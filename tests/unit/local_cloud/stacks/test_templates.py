"""How the CDK's app is started without the CDK's command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.json_files import WrongFile
from local_cloud import ROOT
from local_cloud.stacks.templates import app_environment, are_made, mark_made

pytestmark = pytest.mark.unit


def test_the_context_is_that_of_the_command_line(tmp_path: Path) -> None:
    """The nearer file counts: `cdk.json`, then `cdk.context.json`, then the user's own."""
    home, root = tmp_path / "home", tmp_path / "root"
    for folder in (home, root):
        folder.mkdir()
    (home / ".cdk.json").write_text('{"context": {"a": "home", "b": "home", "c": "home"}}')
    (root / "cdk.context.json").write_text('{"b": "values", "c": "values", "environment": "demo"}')
    (root / "cdk.json").write_text('{"app": "x", "context": {"c": "cdk"}}')

    environment = app_environment({"HOME": str(home)}, root, tmp_path / "assembly")

    context = json.loads(environment["CDK_CONTEXT_JSON"])
    assert context["environment"] == "local"
    assert (context["a"], context["b"], context["c"]) == ("home", "values", "cdk")
    assert environment["CDK_OUTDIR"] == str(tmp_path / "assembly")


def test_variables_of_the_user_do_not_change_what_the_app_makes(tmp_path: Path) -> None:
    base = {"PATH": "/bin", "PYTHONPATH": "/elsewhere", "CDK_CONTEXT_JSON": "{", "CDK_DEBUG": "1"}

    environment = app_environment(base, tmp_path, tmp_path / "assembly")

    assert set(environment) == {"PATH", "CDK_CONTEXT_JSON", "CDK_OUTDIR"}
    assert json.loads(environment["CDK_CONTEXT_JSON"])["environment"] == "local"


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cdk.json").write_text("{")

    with pytest.raises(WrongFile, match=r"cdk\.json, line 1"):
        app_environment({}, tmp_path, tmp_path / "assembly")


def test_templates_are_those_of_the_sources_from_which_they_were_made(tmp_path: Path) -> None:
    assert not are_made(tmp_path, "one")

    mark_made(tmp_path, "one")

    assert are_made(tmp_path, "one")
    assert not are_made(tmp_path, "another")


def test_the_step_of_the_set_up_needs_nothing_that_has_to_be_installed() -> None:
    """Else it would compile packages before the CDK's library begins to unpack itself."""
    program = "import local_cloud.launcher.first_templates"

    subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, check=True)
