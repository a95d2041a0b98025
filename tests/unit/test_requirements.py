"""The locked requirements agree with each other and name no registry."""

from __future__ import annotations

import re
import tomllib

import pytest

from scripts import lock

pytestmark = pytest.mark.unit


def text(path: str) -> str:
    return (lock.ROOT / path).read_text()


@pytest.mark.parametrize("locked", lock.LOCKS, ids=lambda locked: locked.path)
def test_a_lock_names_no_registry_and_pins_everything_by_digest(locked: lock.Lock) -> None:
    content = text(locked.path)
    pins = lock.pins(content)
    assert pins
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links|@", content)
    requirements = [line for line in content.splitlines() if re.match(r"[a-zA-Z-]", line)]
    assert len(requirements) == len(pins), "every requirement is an exact version"
    for name, _, _ in pins:
        assert "--hash=sha256:" in lock.block(content, name)


@pytest.mark.parametrize(
    "locked", [one for one in lock.LOCKS if one.constrained], ids=lambda locked: locked.path
)
def test_a_deployable_runs_what_the_top_lock_runs(locked: lock.Lock) -> None:
    top: dict[str, set[str]] = {}
    for name, version, _ in lock.pins(text(lock.TOP)):
        top.setdefault(name, set()).add(version)
    differing = {
        f"{name}=={version}, at the top {' or '.join(sorted(top[name]))}"
        for name, version, _ in lock.pins(text(locked.path))
        if name in top and version not in top[name]
    }
    assert not differing, "run `make lock`"


@pytest.mark.parametrize("locked", lock.LOCKS, ids=lambda locked: locked.path)
def test_a_lock_holds_what_its_groups_ask_for(locked: lock.Lock) -> None:
    groups = tomllib.loads(text("pyproject.toml"))["dependency-groups"]
    asked = {
        re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()
        for group in locked.groups
        for requirement in groups[group]
    }
    assert asked <= {name for name, _, _ in lock.pins(text(locked.path))}, "run `make lock`"


def test_every_group_is_locked_somewhere() -> None:
    groups = tomllib.loads(text("pyproject.toml"))["dependency-groups"]
    assert {group for one in lock.LOCKS for group in one.groups} == set(groups)


def test_a_block_is_all_of_a_requirement_and_nothing_else() -> None:
    content = (
        "uvicorn==1.0 \\\n    --hash=sha256:aa\n    # via x\n"
        "uv==0.1 ; python_version < '4' \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "    # via y\nyarl==2 \\\n    --hash=sha256:dd\n"
    )
    assert lock.block(content, "uv") == (
        "uv==0.1 ; python_version < '4' \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    )
    assert lock.block(content, "absent") == ""
    assert lock.pins(content) == {
        ("uvicorn", "1.0", ""),
        ("uv", "0.1", "python_version < '4'"),
        ("yarl", "2", ""),
    }
