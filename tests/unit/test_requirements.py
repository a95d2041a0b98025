"""The locked requirements agree with each other and name no registry."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.imports import file_of, imported
from tests.support.locks import LOCKS, ROOT, TOP, block, pins

pytestmark = pytest.mark.unit

#: It pins a botocore of its own.
DEPLOYED = sorted(LOCKS.keys() - {TOP, "local_cloud/emulator-requirements.txt"})


def text(path: str) -> str:
    return (ROOT / path).read_text()


@pytest.mark.parametrize("path", LOCKS)
def test_a_lock_names_no_registry_and_pins_everything_by_digest(path: str) -> None:
    content = text(path)
    found = pins(content)
    assert found
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links|@", content)
    requirements = [line for line in content.splitlines() if re.match(r"[a-zA-Z-]", line)]
    assert len(requirements) == len(found), "every requirement is an exact version"
    for name, _, _ in found:
        assert "--hash=sha256:" in block(content, name)


@pytest.mark.parametrize("path", DEPLOYED)
def test_a_deployable_runs_what_the_top_lock_runs(path: str) -> None:
    top: dict[str, set[str]] = {}
    for name, version, _ in pins(text(TOP)):
        top.setdefault(name, set()).add(version)
    differing = {
        f"{name}=={version}, at the top {' or '.join(sorted(top[name]))}"
        for name, version, _ in pins(text(path))
        if name in top and version not in top[name]
    }
    assert not differing, "run `make lock`"


@pytest.mark.parametrize("path", LOCKS)
def test_a_lock_holds_what_its_groups_ask_for(path: str) -> None:
    groups = tomllib.loads(text("pyproject.toml"))["dependency-groups"]
    asked = {
        re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()
        for group in LOCKS[path]
        for requirement in groups[group]
    }
    assert asked <= {name for name, _, _ in pins(text(path))}, "run `make lock`"


def test_every_group_is_locked_somewhere() -> None:
    groups = tomllib.loads(text("pyproject.toml"))["dependency-groups"]
    assert {group for locked in LOCKS.values() for group in locked} == set(groups)


def test_everybody_uses_the_versions_of_one_day() -> None:
    """Without it `make lock` would resolve to the newest versions."""
    assert re.match(r"# As of \d{4}-\d\d-\d\d\n", text(TOP))


def test_every_requirement_of_a_group_is_met_by_what_is_locked() -> None:
    groups = tomllib.loads(text("pyproject.toml"))["dependency-groups"]
    for path, names in LOCKS.items():
        locked = {name: Version(version) for name, version, _ in pins(text(path))}
        for requirement in map(Requirement, (each for name in names for each in groups[name])):
            assert locked[requirement.name.lower()] in requirement.specifier, (path, requirement)


def test_a_block_is_all_of_a_requirement_and_nothing_else() -> None:
    content = (
        "uvicorn==1.0 \\\n    --hash=sha256:aa\n    # via x\n"
        "uv==0.1 ; python_version < '4' \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "    # via y\nyarl==2 \\\n    --hash=sha256:dd\n"
    )
    assert block(content, "uv") == (
        "uv==0.1 ; python_version < '4' \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    )
    assert block(content, "absent") == ""
    assert pins(content) == {
        ("uvicorn", "1.0", ""),
        ("uv", "0.1", "python_version < '4'"),
        ("yarl", "2", ""),
    }


# --- what the code imports is in its lock -----------------------------------------------------

#: Each deployable: where it starts, and its lock.
STARTS = {
    "ecs_service/requirements.txt": ("ecs_service/__main__.py",),
    "gpu_server/requirements.txt": ("gpu_server/__main__.py",),
    "gpu_server/requirements-whisper.txt": (
        "gpu_server/__main__.py",
        "speech/transcribers/faster_whisper.py",
    ),
    "gpu_server/requirements-faster-whisper.txt": (
        "gpu_server/__main__.py",
        "speech/transcribers/faster_whisper.py",
    ),
    "gpu_server/requirements-whisperx.txt": (
        "gpu_server/__main__.py",
        "speech/transcribers/whisperx.py",
    ),
    "lambdas/requirements.txt": tuple(
        str(path.relative_to(ROOT)) for path in ROOT.glob("lambdas/*/handler.py")
    ),
    "client/requirements.txt": ("client/__main__.py",),
}


def packages(starts: tuple[str, ...]) -> set[str]:
    """Return the packages of others that are imported before anything is done."""
    waiting, seen, others = [ROOT / each for each in starts], set[Path](), set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in imported(ast.parse(path.read_text()).body):
            top = module.partition(".")[0]
            if (ROOT / top).is_dir():
                waiting += [found] if (found := file_of(module)) else []
            elif top not in sys.stdlib_module_names:
                others.add(top)
    return others


@pytest.mark.parametrize("path", STARTS)
def test_what_a_deployable_imports_at_its_start_is_in_its_lock(path: str) -> None:
    locked = {re.sub(r"[-_.]+", "-", name) for name, _, _ in pins(text(path))}
    known = packages_distributions()
    names = packages(STARTS[path])

    assert names
    missing = {
        name
        for name in names
        if not {re.sub(r"[-_.]+", "-", each).lower() for each in known.get(name, [name])} & locked
    }
    assert not missing
